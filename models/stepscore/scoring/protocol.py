"""The Scoring protocol: solutions in, step rewards out; and what a scorer reports about its model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol, Self, overload, runtime_checkable

import numpy as np

from stepscore.aggregate import aggregate
from stepscore.calibration import Calibration
from stepscore.config import CheckpointFacts
from stepscore.engine.protocol import EngineInfo, TokenCounts, Work
from stepscore.errors import CheckpointError, InvalidInput, StepscoreError, UnscorableError, check_length, map_ok
from stepscore.family.registry import Family
from stepscore.types import EncodedSolution, Reading, RewardRange, Solution, Values

INSIDE = ("chunked", "in_flight", "large_batch_tokens")
AGGREGATE_KEY = "default_aggregate"
"""In config.json: the aggregate of a checkpoint that was not trained for its family's own."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is served: names, meaning of the rewards, limits (tokens) and where it runs.

    calibration: applied to rewards after the family has read them; None leaves them unchanged.
    chunked: whether a solution may be computed over several forwards. in_flight: forwards that may run at a time.
    large_batch_tokens: a forward while nothing small waits; 0 for max_batch_tokens.
    quantize_error: the largest change of a probe's reward by 8-bit weights; None without them.
    """

    id: str
    family: str
    revision: str
    reward_range: RewardRange
    aggregate: str
    threshold: float
    marker: str
    max_tokens: int
    max_batch_tokens: int
    engine: str
    device: str
    dtype: str
    mode: str
    calibration: Calibration | None = None
    chunked: bool = False
    in_flight: int = 1
    large_batch_tokens: int = 0
    quantize_error: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The facts as JSON values: an infinite bound of the rewards is null, and what is None is left out.

        Those that matter inside one process only are not among them (`INSIDE`).
        """
        facts = {name: value for name, value in asdict(self).items() if value is not None and name not in INSIDE}
        bounds = {name: getattr(self.reward_range, name) for name in ("low", "high")}
        finite = {name: bound if math.isfinite(bound) else None for name, bound in bounds.items()}
        return {**facts, "reward_range": {"kind": self.reward_range.kind, **finite}}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`; facts that it does not know are ignored."""
        given = {each.name: facts[each.name] for each in fields(cls) if each.name in facts}
        low, high = facts["reward_range"]["low"], facts["reward_range"]["high"]
        bounds = (-math.inf if low is None else low, math.inf if high is None else high)
        given["reward_range"] = RewardRange(facts["reward_range"]["kind"], *bounds)
        calibration = facts.get("calibration")
        given["calibration"] = None if calibration is None else Calibration(**calibration)
        return cls(**given)


def default_aggregate(family: Family, facts: CheckpointFacts) -> str:
    """What the checkpoint's config.json names, or the family's. Raises CheckpointError if it is undefined."""
    name = facts.config.get(AGGREGATE_KEY)
    if name is None:
        return family.aggregate
    try:
        aggregate([0.5], str(name), family.reward_range)
    except InvalidInput as error:
        raise CheckpointError(f"{AGGREGATE_KEY} in {facts.path}/config.json: {error.message}") from error
    return str(name)


def info_of(name: str, family: Family, facts: CheckpointFacts, running: EngineInfo) -> ModelInfo:
    """What the family says about the checkpoint's rewards, and where the model runs."""
    return ModelInfo(
        id=name,
        family=family.name,
        revision=facts.revision,
        reward_range=family.reward_range,
        aggregate=default_aggregate(family, facts),
        threshold=family.threshold,
        marker=family.marker,
        max_tokens=running.max_tokens,
        max_batch_tokens=running.max_batch_tokens,
        engine=running.name,
        device=running.device,
        dtype=running.dtype,
        mode=running.mode,
        chunked=running.chunked,
        in_flight=running.in_flight,
        large_batch_tokens=running.large_batch_tokens,
    )


class Scoring(Protocol):
    """One model that scores. Its forwards never overlap; the other methods may run beside one."""

    info: ModelInfo

    def encode(self, solution: Solution) -> EncodedSolution:
        """Token ids and read positions. Raises InvalidInput; TooLong says by how many tokens."""
        ...

    def cost(self, encoded: EncodedSolution) -> int:
        """Tokens that a forward of this solution is expected to compute now."""
        ...

    def forward(self, batch: Sequence[EncodedSolution]) -> list[Reading | StepscoreError]:
        """One reading, or the error of that solution, for each, in order. Raises EngineError for the whole batch."""
        ...

    def advance(self, works: Sequence[Work]) -> list[Reading | StepscoreError | None]:
        """One forward within the works' token budgets; None for a solution that needs further forwards."""
        ...

    def release(self, work: Work) -> None:
        """Cancel a work. May be called while a forward runs."""
        ...

    @overload
    def score(self, solutions: Solution) -> Reading: ...

    @overload
    def score(self, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]: ...

    def score(self, solutions: Solution | Sequence[Solution]) -> Reading | list[Reading | StepscoreError]:
        """Encode and forward: one solution or many.

        Of many, a solution that cannot be scored keeps its place as an error; of one, the error is raised.
        Raises TypeError for anything else.
        """
        ...

    def counts(self) -> TokenCounts: ...

    def purge(self) -> None:
        """Forget everything that is kept across calls."""
        ...

    def close(self) -> None:
        """Free what the model holds; nothing can be scored any more. `with` does it at the end of its block."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


Results = list[Reading | StepscoreError | None]


@runtime_checkable
class PipelinedScoring(Protocol):
    """What a scorer has besides, if it can start `info.in_flight` forwards before the first of them is finished."""

    def launch(self, works: Sequence[Work]) -> Callable[[], Results]:
        """Start the forward of `advance`; a call of what is returned waits for the results. Both raise EngineError."""
        ...


def encode_each(scoring: Scoring, solutions: Sequence[Solution]) -> list[EncodedSolution | StepscoreError]:
    """Every solution encoded, or the error of that solution, in order."""
    return [_try_encode(scoring, solution) for solution in solutions]


class OneOrMany:
    """`Scoring.score` and `with` for a class that has the rest of the protocol."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self: Scoring, *error: object) -> None:
        self.close()

    @overload
    def score(self: Scoring, solutions: Solution) -> Reading: ...

    @overload
    def score(self: Scoring, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]: ...

    def score(self: Scoring, solutions: Solution | Sequence[Solution]) -> Reading | list[Reading | StepscoreError]:
        """One solution or many; see `Scoring.score`."""
        if isinstance(solutions, Solution):
            (reading,) = score_each(self, [solutions])
            if isinstance(reading, StepscoreError):
                raise reading
            return reading
        return score_each(self, solutions)


def score_each(scoring: Scoring, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]:
    """Encode and forward; a solution that cannot be scored keeps its place as an error.

    Raises TypeError for what is not a sequence of solutions.
    """
    check_solutions(solutions)
    readings = map_ok(encode_each(scoring, solutions), scoring.forward)
    return [
        replace(reading, steps=solution.steps) if isinstance(reading, Reading) else reading
        for solution, reading in zip(solutions, readings, strict=True)
    ]


def check_solutions(solutions: Sequence[Solution]) -> None:
    """Raises TypeError for what is not a sequence of solutions whose problem and steps are texts."""
    wanted = 'score takes a Solution or a list of them, each Solution("problem", ("step", "step"))'
    if isinstance(solutions, str) or not isinstance(solutions, Sequence):
        raise TypeError(f"{wanted}; this is a {type(solutions).__name__}")
    for place, each in enumerate(solutions):
        if not isinstance(each, Solution):
            raise TypeError(f"{wanted}; entry {place} is a {type(each).__name__}")
        if isinstance(each.steps, str):
            raise TypeError(f"the steps of a Solution are a tuple of texts; those of entry {place} are one text")
        for name, text in (("problem", each.problem), *((f"step {at}", step) for at, step in enumerate(each.steps))):
            if not isinstance(text, str):
                raise TypeError(f"{name} of entry {place} is a {type(text).__name__}, not a text")


def check_steps(solution: Solution, info: ModelInfo) -> None:
    """Raises TooLong before time is spent on tokenising: every step is at least one token (detail: at_least)."""
    check_length(len(solution.steps), info.max_tokens, info.id, at_least=True)


def check_sequences(encoded: EncodedSolution, info: ModelInfo, answer: int = 0) -> None:
    """Raises TooLong if a sequence, with `answer` tokens to generate, is longer than the model reads."""
    check_length(max(len(each.ids) for each in encoded.sequences), info.max_tokens - answer, info.id)


def check_numbers(values: Sequence[Values]) -> Sequence[Values]:
    """The engine's numbers themselves, if all are finite: an infinite one would read as the surest reward.

    Raises UnscorableError.
    """
    if not all(np.isfinite(each).all() for each in values):
        raise UnscorableError("the model's numbers are not finite: its weights are damaged, or too large for the dtype")
    return values


def check_reading(reading: Reading, steps: int) -> Reading:
    """The reading itself, if it has one finite reward for each step. Raises UnscorableError."""
    if len(reading.rewards) != steps:
        raise UnscorableError(f"{len(reading.rewards)} rewards for {steps} steps", rewards=len(reading.rewards))
    for step, reward in enumerate(reading.rewards):
        if not math.isfinite(reward):
            raise UnscorableError(f"the reward of step {step} is not a finite number", step=step)
    return reading


def _try_encode(scoring: Scoring, solution: Solution) -> EncodedSolution | StepscoreError:
    try:
        return scoring.encode(solution)
    except StepscoreError as error:
        return error
