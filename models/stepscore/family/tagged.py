"""Plain text with a tag of ordinary text after each step, as Math-Shepherd and its relatives write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stepscore.errors import CheckpointError, MarkerInText
from stepscore.family.layout import SequenceBuilder, check
from stepscore.text.tokenizer import StepTokenizer
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
        builder = SequenceBuilder(self.tokenizer).bos()
        for step, piece in enumerate(self._pieces(solution)):
            if self.refused in piece:
                raise MarkerInText(
                    f"the text before step {step} and its beginning form {self.refused!r} together; strip the step",
                    marker=self.refused,
                    where=f"step {step}",
                )
            builder.text(piece + self.tag).read(expect)
        return EncodedSolution((builder.build(),), steps=len(solution.steps))

    def _pieces(self, solution: Solution) -> Iterator[str]:
        """What is written from the end of one tag to the next tag."""
        problem = solution.problem.strip() if self.trimmed_problem else solution.problem
        for number, text in enumerate(solution.steps, start=1):
            before = self.between if number > 1 else problem + self.opening
            step = text.strip() if self.trimmed else text
            bare = self.numbered and not step.lstrip().startswith(("Step", "step"))
            yield f"{before}Step {number}: {step}" if bare else before + step
