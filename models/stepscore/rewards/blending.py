"""Step rewards blended with the outcome of a final answer, so that pleasing the reward model does not pay alone.

Process and outcome stay apart until they are added. Step rewards are clipped first, so that what holds for a shape
(its sum, say) holds for the clipped rewards as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stepscore.errors import InvalidShape, NoOutcome
from stepscore.verify.verifier import Verified

LengthNorm = Literal["none", "steps", "tokens"]
UnreadableAs = Literal["error", "wrong"]


@dataclass(frozen=True, slots=True)
class Blend:
    """How process and outcome become one reward.

    process, outcome: weights. right, wrong: the outcome reward of either.
    gate: a wrong answer's reward is at most this; None caps nothing.
    clip: bounds of each step reward; None leaves them.
    length: divides what the steps get by their number, or by the number of tokens.
    unreadable: an answer that cannot be found or judged is an error, or is taken as wrong.
    """

    process: float = 1.0
    outcome: float = 1.0
    right: float = 1.0
    wrong: float = 0.0
    gate: float | None = None
    clip: tuple[float, float] | None = None
    length: LengthNorm = "none"
    unreadable: UnreadableAs = "error"


@dataclass(frozen=True, slots=True)
class BlendedReward:
    """reward: the scalar. steps: what each step's end gets; they add up to `total`, which is gated as the scalar is."""

    reward: float
    steps: tuple[float, ...]

    @property
    def total(self) -> float:
        return math.fsum(self.steps)


def clip_rewards(rewards: Sequence[float], blend: Blend) -> list[float]:
    """Each within the bounds. Raises InvalidShape if the lower bound is over the upper one."""
    if blend.clip is None:
        return list(rewards)
    low, high = blend.clip
    if low > high:
        raise InvalidShape(f"`clip` is [low, high], and {low} is over {high}")
    return [min(max(reward, low), high) for reward in rewards]


def outcome_reward(verified: Verified, blend: Blend) -> float:
    """Raises NoOutcome for an unreadable answer, unless the blend takes it as wrong."""
    if verified.outcome == "right":
        return blend.right
    if verified.outcome == "unreadable" and blend.unreadable == "error":
        message = f"the final answer cannot be judged: {verified.reason}; `unreadable: wrong` takes it as wrong"
        raise NoOutcome(message, reason=verified.reason, found=verified.found)
    return blend.wrong


def blend_rewards(
    score: float, shaped: Sequence[float], outcome: float | None, *, right: bool, blend: Blend, tokens: int = 0
) -> BlendedReward:
    """One scalar, and one number for each step's end; the outcome is added to the last.

    score: of the clipped step rewards. shaped: those in the chosen shape. outcome: its reward; None without a known
    answer, when nothing is added or gated. tokens: of the policy, for `length`. Raises InvalidShape without them.
    """
    divisor = _divisor(len(shaped), tokens, blend.length)
    steps = [blend.process * reward / divisor for reward in shaped]
    reward = blend.process * score
    if outcome is not None:
        steps[-1] += blend.outcome * outcome
        reward += blend.outcome * outcome
        if blend.gate is not None and not right:
            reward = min(reward, blend.gate)
            steps[-1] += min(0.0, blend.gate - math.fsum(steps))
    return BlendedReward(reward, tuple(steps))


def _divisor(steps: int, tokens: int, length: LengthNorm) -> int:
    if length == "tokens" and not tokens:
        raise InvalidShape("`length: tokens` needs the policy's tokens: send offsets, token ids or a tokenizer")
    return {"none": 1, "steps": steps, "tokens": tokens}[length]
