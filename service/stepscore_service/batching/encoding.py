"""From a request to what a model reads: split into steps, check, tokenise. Runs off the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stepscore.errors import NoSteps, StepscoreError
from stepscore.text.segment import split
from stepscore.types import EncodedSolution, Solution
from stepscore_service.errors import TooManyCharacters

if TYPE_CHECKING:
    from stepscore.scoring import Scoring


@dataclass(frozen=True, slots=True)
class SolutionRequest:
    """A solution to score. solution: its steps, or one text, which `split` says how to split.

    partial: the last step is not finished, and not scored.
    """

    problem: str
    solution: str | tuple[str, ...]
    split: str = "auto"
    partial: bool = False

    @property
    def characters(self) -> int:
        """Of the problem and the solution."""
        return len(self.problem) + (
            len(self.solution) if isinstance(self.solution, str) else sum(map(len, self.solution))
        )


@dataclass(frozen=True, slots=True)
class SplitSolution:
    """A solution in steps.

    spans: characters [start, end) of each step in the text or, if it came in steps, in the steps joined.
    """

    solution: Solution
    spans: tuple[tuple[int, int], ...]
    from_text: bool


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A solution in steps and what the model reads of it."""

    split: SplitSolution
    encoded: EncodedSolution


def split_steps(request: SolutionRequest) -> SplitSolution:
    """The solution in steps. Raises NoSteps or UnknownSplit."""
    found = _split_all(request)
    return _without_last(found) if request.partial else found


def _split_all(request: SolutionRequest) -> SplitSolution:
    if not isinstance(request.solution, str):
        if not request.solution:
            raise NoSteps("The solution holds no step.")
        return SplitSolution(
            Solution(request.problem, request.solution), _joined_spans(request.solution), from_text=False
        )
    steps = split(request.solution, request.split)
    texts, spans = tuple(step.text for step in steps), tuple((step.start, step.end) for step in steps)
    return SplitSolution(Solution(request.problem, texts), spans, from_text=True)


def _without_last(found: SplitSolution) -> SplitSolution:
    """Raises NoSteps if the last step is the only one."""
    steps = found.solution.steps[:-1]
    if not steps:
        raise NoSteps("The solution holds no finished step yet.")
    return replace(found, solution=replace(found.solution, steps=steps), spans=found.spans[:-1])


def encode_request(
    scorer: Scoring, request: SolutionRequest, *, cache_salt: str = "", max_characters: int = 0
) -> EncodedRequest:
    """Split and tokenise. Raises InvalidInput; TooLong and TooManyCharacters say by how much.

    cache_salt: computed prefixes are shared only with solutions of the same one. max_characters: 0 sets no limit.
    """
    _check_characters(request.characters, max_characters)
    split_ = split_steps(request)
    return EncodedRequest(split_, _with_salt(scorer.encode(split_.solution), cache_salt))


def encode_each(
    scorer: Scoring, requests: Sequence[SolutionRequest], *, cache_salt: str = "", max_characters: int = 0
) -> list[EncodedRequest | StepscoreError]:
    """Every request encoded, or the error of that request, in order."""

    def encode(request: SolutionRequest) -> EncodedRequest | StepscoreError:
        try:
            return encode_request(scorer, request, cache_salt=cache_salt, max_characters=max_characters)
        except StepscoreError as error:
            return error

    return [encode(request) for request in requests]


def _check_characters(count: int, limit: int) -> None:
    """Splitting and tokenising a text that can never fit would keep a core busy for many seconds."""
    if limit and count > limit:
        message = f"{count} characters are {count - limit} more than the {limit} that the service reads"
        raise TooManyCharacters(message, characters=count, limit=limit, excess=count - limit)


def _joined_spans(steps: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The characters of each step in their concatenation."""
    spans, start = [], 0
    for step in steps:
        spans.append((start, start + len(step)))
        start += len(step)
    return tuple(spans)


def _with_salt(encoded: EncodedSolution, cache_salt: str) -> EncodedSolution:
    if not cache_salt:
        return encoded
    return replace(encoded, sequences=tuple(replace(sequence, cache_salt=cache_salt) for sequence in encoded.sequences))
