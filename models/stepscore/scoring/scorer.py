"""The scorer of a forward family: encode -> forward -> read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from stepscore.calibration import calibrate
from stepscore.config import Quantize
from stepscore.engine.protocol import ChunkedEngine, Engine, QuantizableEngine, TokenCounts, Work
from stepscore.errors import EngineError, QuantizationError, StepscoreError, UnsupportedByEngine
from stepscore.family.registry import Parts
from stepscore.scoring.protocol import (
    ModelInfo,
    OneOrMany,
    Results,
    check_numbers,
    check_reading,
    check_sequences,
    check_steps,
)
from stepscore.types import EncodedSolution, Reading, Solution, Values

PROBES = (
    Solution("How many are three and four?", ("3 + 4 = 7", "So the answer is 7.")),
    Solution("How many are three and four?", ("3 + 4 = 8", "So the answer is 8.")),
    Solution(
        "A box holds 12 eggs. How many eggs are in 5 boxes, if 7 are broken?",
        ("5 boxes hold 5 * 12 = 60 eggs.", "Without the broken ones there are 60 - 7 = 53.", "The answer is 53."),
    ),
    Solution(
        "A box holds 12 eggs. How many eggs are in 5 boxes, if 7 are broken?",
        ("5 boxes hold 5 * 12 = 60 eggs.", "With the broken ones there are 60 + 7 = 67.", "The answer is 67."),
    ),
    Solution(
        "Solve x^2 - 5x + 6 = 0.",
        ("We factor x^2 - 5x + 6 = (x - 2)(x - 3).", "So x = 2 or x = 3.", "The sum of the roots is 5, as it must be."),
    ),
    Solution(
        "Solve x^2 - 5x + 6 = 0.",
        ("The discriminant is 25 - 24 = 1.", "So x = (5 + 1) / 4 = 1.5.", "The answer is \\boxed{1.5}."),
    ),
    Solution(
        "A train leaves at 9:40 and arrives at 13:05. How long does it travel?",
        ("From 9:40 to 13:40 are 4 hours.", "13:05 is 35 minutes earlier.", "So it travels 3 hours and 25 minutes."),
    ),
    Solution(
        "Ann has twice as many books as Ben. Together they have 36. How many does Ann have?",
        ("Let Ben have b books, so that Ann has 2b.", "Then 3b = 36 and b = 12.", "Ann has 12 books."),
    ),
)
"""What is scored before and after a change of the engine's numbers, to measure how far rewards move."""


class Scorer(OneOrMany):
    """A family's layout and reader over an engine. Forwards must come from one thread at a time."""

    def __init__(self, info: ModelInfo, parts: Parts, engine: Engine) -> None:
        self.info = info
        self._parts = parts
        self._engine = engine
        self._closed = False

    def encode(self, solution: Solution) -> EncodedSolution:
        """Token ids and read positions. Raises InvalidInput; TooLong says by how many tokens."""
        check_steps(solution, self.info)
        encoded = self._parts.layout.encode(solution)
        check_sequences(encoded, self.info)
        return encoded

    def cost(self, encoded: EncodedSolution) -> int:
        """Tokens that a forward of this solution is expected to compute now."""
        return sum(self._engine.cost(sequence) for sequence in encoded.sequences)

    def forward(self, batch: Sequence[EncodedSolution]) -> list[Reading | StepscoreError]:
        """One reading, or the error of that solution, for each, in order. Raises EngineError for the whole batch."""
        self._check_open()
        values = iter(self._engine.forward([sequence for encoded in batch for sequence in encoded.sequences]))
        return [self._read(encoded, values) for encoded in batch]

    def advance(self, works: Sequence[Work]) -> list[Reading | StepscoreError | None]:
        """One forward, within the works' token budgets; None for a solution that needs more of them.

        An engine that cannot stop in the middle computes every work whole. Raises EngineError for the whole batch.
        """
        return self.launch(works)()

    def launch(self, works: Sequence[Work]) -> Callable[[], Results]:
        """Start the forward of `advance`, if the engine can; see `PipelinedScoring`."""
        if not (self.info.chunked and isinstance(self._engine, ChunkedEngine)):
            return lambda: list(self.forward([work.encoded for work in works]))
        self._check_open()
        finish = self._engine.launch(works)

        def results() -> Results:
            finish()
            return [self._read(work.encoded, iter(work.outputs)) if work.finished else None for work in works]

        return results

    def release(self, work: Work) -> None:
        """Cancel a work. May be called while a forward runs."""
        if self.info.chunked and isinstance(self._engine, ChunkedEngine):
            self._engine.release(work)

    def quantize(self, kind: Quantize, bound: float) -> None:
        """Turn weights into 8 bits. Raises QuantizationError if that moves a probe's reward beyond `bound`."""
        if not isinstance(self._engine, QuantizableEngine):
            raise UnsupportedByEngine(f"engine {self.info.engine} does not quantize", engine=self.info.engine)
        error = measure_change(self.score, partial(self._engine.quantize, kind), bound)
        self.info = replace(self.info, dtype=f"{self.info.dtype}, {kind} weights", quantize_error=error)

    def counts(self) -> TokenCounts:
        return self._engine.counts()

    def purge(self) -> None:
        """Forget everything that is kept across calls."""
        self._engine.purge()

    def close(self) -> None:
        self._closed = True
        self._engine.close()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError(f"{self.info.id} was closed; open it again")

    def _read(self, encoded: EncodedSolution, values: Iterator[Values]) -> Reading | StepscoreError:
        try:
            read = self._parts.read(check_numbers([next(values) for _ in encoded.sequences]), encoded)
            return check_reading(calibrate(read, self.info.calibration), encoded.steps)
        except StepscoreError as error:
            return error


def measure_change(
    score: Callable[[Sequence[Solution]], Sequence[Reading | StepscoreError]], change: Callable[[], None], bound: float
) -> float:
    """Make a change, and report by how much the rewards of the probes moved at most.

    Rewards that reach beyond [-1, 1] are compared with their largest. Raises QuantizationError if it is more than
    `bound`, or if a probe cannot be scored.
    """
    before = _rewards(score(PROBES))
    change()
    after = _rewards(score(PROBES))
    scale = max(1.0, *map(abs, before))
    error = max(abs(one - other) for one, other in zip(before, after, strict=True)) / scale
    if error > bound:
        raise QuantizationError(
            f"8-bit weights move scores by {error:.4f} on the probes, and {bound:.4f} is allowed; "
            "serve without quantize, or raise max_quantize_error",
            error=error,
            bound=bound,
        )
    return error


def _rewards(answers: Sequence[Reading | StepscoreError]) -> list[float]:
    readings = [answer for answer in answers if isinstance(answer, Reading)]
    if len(readings) < len(answers):
        raise QuantizationError("the model cannot score the probes, so that the error of 8-bit weights is unknown")
    return [reward for reading in readings for reward in reading.rewards]
