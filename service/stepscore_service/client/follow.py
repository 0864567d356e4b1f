"""Rewards for the steps of a text that a policy is still writing: each as soon as its step has ended.

The service gets the whole text each time and computes only what is new of it; `partial` leaves out the last step, which
is not finished, and `from_step` the rewards that are known. A later word may change where earlier steps end (a list
begins, say): their rewards are asked for again and reported again, with the same index.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from stepscore_service.client.errors import ServiceError
from stepscore_service.schemas.score import CharacterSpan, ScoreAnswer

NOTHING_YET, FEWER_STEPS = "no_steps", "unknown_step"
BY_LINES = ("auto", "lines", "paragraphs", "numbered", "code")
"""Ways to split in which a finished step is followed by a line break."""


@dataclass(frozen=True, slots=True)
class StepReward:
    """The reward of one step. span: its characters [start, end) in the text so far."""

    index: int
    text: str
    span: CharacterSpan
    reward: float


class RolloutState:
    """What is known of one rollout: no input or output. stop_below: a lower reward says to stop."""

    def __init__(self, problem: str, split: str, stop_below: float | None, options: Mapping[str, Any]) -> None:
        self.text = ""
        self.steps: list[StepReward] = []
        self._problem, self._split, self._options = problem, split, dict(options)
        self._stop_below = stop_below
        self._asked = 0

    @property
    def should_stop(self) -> bool:
        return self._stop_below is not None and any(step.reward < self._stop_below for step in self.steps)

    def extend(self, piece: str) -> bool:
        """Whether a step may have ended since the last request."""
        self.text += piece
        written = self.text.rstrip()
        end = written.rfind("\n") if self._split in BY_LINES else len(written)
        if end <= self._asked:
            return False
        self._asked = end
        return True

    def request(self, final: bool) -> dict[str, Any]:
        """The arguments of `score`."""
        place = {"from_step": len(self.steps), "partial": not final}
        return {"problem": self._problem, "solution": self.text, "split": self._split, **place, **self._options}

    def forget(self, steps: int) -> None:
        """The text has only so many finished steps now: those after them must be asked for again."""
        del self.steps[steps:]

    def add(self, answer: ScoreAnswer) -> list[StepReward] | None:
        """The new steps; None if earlier ones have changed, so that the rewards from there on must be asked for."""
        unchanged = _common(answer.spans, [step.span for step in self.steps])
        if unchanged < len(self.steps):
            del self.steps[unchanged:]
            return None
        start = len(self.steps)
        spans = answer.spans[start:]
        new = [
            StepReward(start + place, self.text[span[0] : span[1]], span, reward)
            for place, (span, reward) in enumerate(zip(spans, answer.rewards, strict=True))
        ]
        self.steps += new
        return new


class AsyncFollower:
    """`await feed(piece)` for each piece of text, `await finish()` at the end; both return the steps that are new.

    Raises what `score` raises; the text is kept, so that the next call continues.
    """

    def __init__(self, score: Callable[..., Awaitable[ScoreAnswer]], state: RolloutState) -> None:
        self._score, self._state = score, state

    @property
    def steps(self) -> tuple[StepReward, ...]:
        return tuple(self._state.steps)

    @property
    def should_stop(self) -> bool:
        """Whether a step's reward was lower than `stop_below`."""
        return self._state.should_stop

    async def feed(self, piece: str) -> list[StepReward]:
        return await self._ask(final=False) if self._state.extend(piece) else []

    async def finish(self) -> list[StepReward]:
        """The text is complete: its last step is scored too. Raises ServiceError if it holds no step."""
        return await self._ask(final=True)

    async def _ask(self, final: bool) -> list[StepReward]:
        while True:
            try:
                new = self._state.add(await self._score(**self._state.request(final)))
            except ServiceError as error:
                if error.code == NOTHING_YET and not final:
                    return []
                if error.code != FEWER_STEPS:
                    raise
                self._state.forget(error.detail["steps"])
            else:
                if new is not None:
                    return new


class Follower:
    """AsyncFollower for threads."""

    def __init__(self, score: Callable[..., ScoreAnswer], state: RolloutState) -> None:
        async def answer(**request: Any) -> ScoreAnswer:
            return score(**request)

        self._follower = AsyncFollower(answer, state)

    @property
    def steps(self) -> tuple[StepReward, ...]:
        return self._follower.steps

    @property
    def should_stop(self) -> bool:
        """Whether a step's reward was lower than `stop_below`."""
        return self._follower.should_stop

    def feed(self, piece: str) -> list[StepReward]:
        return _run(self._follower.feed(piece))

    def finish(self) -> list[StepReward]:
        """The text is complete: its last step is scored too. Raises ServiceError if it holds no step."""
        return _run(self._follower.finish())


def _run(steps: Coroutine[Any, Any, list[StepReward]]) -> list[StepReward]:
    """The result of a coroutine that never waits: its `score` blocks."""
    try:
        steps.send(None)
    except StopIteration as finished:
        result: list[StepReward] = finished.value
        return result
    raise AssertionError("a blocking follower has nothing to wait for")


def _common(first: list[CharacterSpan], second: list[CharacterSpan]) -> int:
    """How many entries at the beginning are the same."""
    different = (place for place, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1])
    return next(different, min(len(first), len(second)))
