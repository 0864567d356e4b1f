"""Plain text with a tag of ordinary text after each step, as Math-Shepherd and its relatives write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stepscore.errors import CheckpointError
from stepscore.layout import SequenceBuilder, check
from stepscore.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, Solution


def label_pair(tokenizer: StepTokenizer, text: str) -> tuple[int, int]:
    """The two ids of a text such as "+ -", as model cards name labels. Raises CheckpointError for another count."""
    ids = tokenizer.encode(text)[0]
    if len(ids) != 2:
        raise CheckpointError(f"the tokenizer writes {text!r} in {len(ids)} tokens, not two", ids=ids)
    return ids[0], ids[1]


@dataclass(frozen=True, slots=True)
class TaggedText:
    """Plain text, encoded as one string after the tokenizer's own BOS; a tag of ordinary text ends each step.

    {problem}{opening}{number}{step 1}{tag}{between}{number}{step 2}{tag}...; reads at the tag's last token.

    between: text from a tag to the next step. refused: text that nobody may type, because the authors' search for the
    tag would stop at it. numbered: writes "Step k: " before a step that does not begin with "Step" or "step".
    trimmed: steps (and, with trimmed_problem, the problem) lose the white space at their ends; without it a step whose
    last characters merge with the tag raises MarkerMerged, since there is no tag to read.
    """

    tokenizer: StepTokenizer
    opening: str
    tag: str
    between: str
    refused: str
    numbered: bool = False
    trimmed: bool = True
    trimmed_problem: bool = False

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution, self.refused)
        expect = self.tokenizer.last_id(self.tag)
        problem = solution.problem.strip() if self.trimmed_problem else solution.problem
        builder = SequenceBuilder(self.tokenizer).bos().text(problem + self.opening)
        for number, step in enumerate(self._written(solution), start=1):
            builder.text(self.between if number > 1 else "").text(step + self.tag).read(expect)
        return EncodedSolution((builder.build(),), steps=len(solution.steps))

    def _written(self, solution: Solution) -> Iterator[str]:
        for number, text in enumerate(solution.steps, start=1):
            step = text.strip() if self.trimmed else text
            bare = self.numbered and not step.lstrip().startswith(("Step", "step"))
            yield f"Step {number}: {step}" if bare else step
