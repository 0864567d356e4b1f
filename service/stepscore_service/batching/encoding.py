"""From a request to what a model reads: split into steps, check, tokenise. Runs off the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stepscore.errors import StepscoreError
from stepscore.text.segment import split_steps
from stepscore.types import EncodedSolution, SolutionRequest, SplitSolution
from stepscore_service.errors import TooManyCharacters

if TYPE_CHECKING:
    from stepscore.scoring.protocol import Scoring


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A solution in steps and what the model reads of it."""

    split: SplitSolution
    encoded: EncodedSolution


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


def _with_salt(encoded: EncodedSolution, cache_salt: str) -> EncodedSolution:
    if not cache_salt:
        return encoded
    return replace(encoded, sequences=tuple(replace(sequence, cache_salt=cache_salt) for sequence in encoded.sequences))
