"""The scorer of a forward family: encode -> forward -> read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from stepscore.calibration import calibrated
from stepscore.config import Quantize
from stepscore.engine.probes import measured
from stepscore.engine.protocol import ChunkedEngine, Engine, QuantizableEngine, TokenCounts, Work
from stepscore.errors import EngineError, StepscoreError, UnsupportedByEngine
from stepscore.family.registry import Parts
from stepscore.scoring import ModelInfo, OneOrMany, Results, check_sequences, check_steps, checked
from stepscore.types import EncodedSolution, Reading, Solution, Values


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
        error = measured(self.score, partial(self._engine.quantize, kind), bound)
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
            read = self._parts.read([next(values) for _ in encoded.sequences], encoded)
            return checked(calibrated(read, self.info.calibration), encoded.steps)
        except StepscoreError as error:
            return error
