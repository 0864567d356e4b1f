"""From rewards at the ends of steps to one reward for each token of the policy.

Characters decide, not token ids: a step ends at its last character that is not white space, and its reward belongs to
the token that completes this character. So a token that crosses a step's end (`.\n\n`, or `. So`) has the reward of the
step that it ends, and a character that takes several tokens is complete with the last of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepscore.errors import TokensMismatch
from stepscore.types import Span


@dataclass(frozen=True, slots=True)
class TokenOffsets:
    """The characters [start, end) of a text that each token holds, in the order of the tokens.

    An empty span is a token without text: an end token, or white space that its tokenizer does not count.
    Make it with `check_offsets`.
    """

    spans: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.spans)


def check_offsets(text: str, spans: Sequence[Span]) -> TokenOffsets:
    """The offsets, if they can be those of this text's tokens.

    Raises TokensMismatch if a span lies outside the text or before its predecessor, or if a character that is not
    white space belongs to no token (detail: token, or character).
    """
    held = np.zeros(len(text), dtype=np.bool_)
    before = (0, 0)
    for token, (start, end) in enumerate(spans):
        if not 0 <= start <= end <= len(text):
            _refuse(f"token {token} has the offsets [{start}, {end}) in a text of {len(text)} characters", token=token)
        if start == end:
            continue
        if start < before[0] or end < before[1]:
            _refuse(f"token {token} has the offsets [{start}, {end}) after [{before[0]}, {before[1]})", token=token)
        held[start:end] = True
        before = (start, end)
    for character in np.flatnonzero(~held):
        if not text[character].isspace():
            _refuse(f"character {character} ({text[character]!r}) belongs to no token", character=int(character))
    return TokenOffsets(tuple((start, end) for start, end in spans))


def tokens_of_steps(text: str, steps: Sequence[Span], offsets: TokenOffsets) -> list[Span]:
    """The tokens [first, last + 1) of each step, given its characters [start, end) in the text.

    The last one ends the step. Two steps that meet within a token share it. Raises TokensMismatch for a step without
    text.
    """
    written = [(start, end, token) for token, (start, end) in enumerate(offsets.spans) if start < end]
    starts, ends = [start for start, _, _ in written], [end for _, end, _ in written]
    found = []
    for step, (start, end) in enumerate(steps):
        content = text[start:end]
        if not content.strip():
            _refuse(f"step {step} holds no text", step=step)
        first = bisect_right(ends, start + len(content) - len(content.lstrip()))
        last = bisect_left(starts, start + len(content.rstrip())) - 1
        found.append((written[first][2], written[last][2] + 1))
    return found


def place_rewards(rewards: Sequence[float], tokens: Sequence[Span], count: int) -> list[float]:
    """One number for each of `count` tokens: a step's reward at the token that ends it, 0 at all others.

    The rewards of steps that one token ends are added, so that the sum stays that of the steps.
    """
    placed = [0.0] * count
    for reward, (_, end) in zip(rewards, tokens, strict=True):
        placed[end - 1] += reward
    return placed


def _refuse(message: str, **detail: object) -> None:
    raise TokensMismatch(f"{message}; send the offsets in characters of the very text that is scored", **detail)
