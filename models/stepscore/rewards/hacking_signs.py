"""Signs that a policy pleases its reward model instead of solving problems.

They accuse nobody: each is a fact about a text that a learning policy should not produce more and more often.
Source of "steps without content": PURE's collapse into "thanks" and "happy birthday" (CJReinforce/PURE@41f9363
README.md, "Reward Hacking"); of the correlation: longer answers that score better, Singhal et al., arXiv 2310.03716.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from stepscore.types import RewardRange

MARKERS = (
    "<extra_0>",
    "<extra>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|reserved_special_token_",
    "[PRM]",
    "[INST]",
)
"""What marks the end of a step, or of a turn, in some family's or policy's layout."""
LEAST_SOLUTIONS = 3
"""A correlation of fewer says nothing."""
_MARKER = re.compile("|".join(map(re.escape, MARKERS)) + r"|(?<!\w)ки(?!\w)")
"""Math-Shepherd's marker is a word of plain text."""
_WORD = re.compile(r"[^\W\d_]{3,}")
_MATHS = re.compile(r"[\d=+*/<>^×÷·≤≥≠√∑∫\\$]")


@dataclass(frozen=True, slots=True)
class HackingSigns:
    """Of one solution. Lists hold indices of steps.

    gap: by how much the process score, mapped to [0, 1], exceeds the outcome; None without one, or without bounds.
    repeated_steps: the same text as an earlier step, but for case and white space.
    steps_without_content: no digit, no mathematical sign, and no word of three letters that the problem has.
    marker_text: steps in which a marker is typed.
    """

    gap: float | None
    repeated_steps: tuple[int, ...]
    steps_without_content: tuple[int, ...]
    marker_text: tuple[int, ...]


def find_signs(problem: str, steps: Sequence[str], gap: float | None) -> HackingSigns:
    """Of a solution in steps; gap: what `outcome_gap` gives."""
    known = _words(problem)
    plain = [" ".join(step.casefold().split()) for step in steps]
    return HackingSigns(
        gap=gap,
        repeated_steps=tuple(place for place, text in enumerate(plain) if text in plain[:place]),
        steps_without_content=tuple(place for place, step in enumerate(steps) if not _says_something(step, known)),
        marker_text=tuple(place for place, step in enumerate(steps) if _MARKER.search(step)),
    )


def outcome_gap(score: float, range_: RewardRange, *, right: bool) -> float | None:
    """The score, mapped linearly from its bounds to [0, 1], less 1 for a right answer; None without finite bounds.

    Near 1 for a wrong answer that the reward model likes, near -1 for a right one that it does not.
    """
    if not (math.isfinite(range_.low) and math.isfinite(range_.high) and range_.low <= score <= range_.high):
        return None
    return (score - range_.low) / (range_.high - range_.low) - float(right)


def length_correlation(rewards: Sequence[float], lengths: Sequence[int]) -> float | None:
    """Pearson's correlation; None for fewer than three solutions, or if either does not vary beyond rounding."""
    if len(rewards) < LEAST_SOLUTIONS:
        return None
    try:
        return statistics.correlation(rewards, lengths)
    except statistics.StatisticsError:
        return None


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}


def _says_something(step: str, known: set[str]) -> bool:
    return bool(_MATHS.search(step)) or bool(_words(step) & known)
