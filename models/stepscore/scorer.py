"""The scorer: encode -> forward -> read, for one model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stepscore.calibration import Calibration, calibrated
from stepscore.checkpoint import folder_name, locate, read_facts
from stepscore.config import CheckpointFacts, EngineOptions, Quantize
from stepscore.engine.base import ChunkedEngine, Engine, EngineInfo, QuantizableEngine, TokenCounts
from stepscore.engine.open import open_engine
from stepscore.engine.work import Work
from stepscore.errors import StepscoreError, TooLong, UnscorableError, UnsupportedByEngine
from stepscore.heads import VerdictHead
from stepscore.layout import LayoutContext
from stepscore.probes import measured
from stepscore.registry import Family, Parts, family_named, resolve
from stepscore.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, Reading, RewardRange, Solution, Values

EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is served: names, meaning of the rewards, limits (tokens) and where it runs.

    calibration: what is done to rewards after the family has read them; None leaves them as they are.
    chunked: whether a solution may be computed over several forwards.
    quantize_error: by how much 8-bit weights moved the rewards of the probes at most; None without them.
    """

    id: str
    family: str
    revision: str
    range: RewardRange
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
    quantize_error: float | None = None


class Scorer:
    """Solutions in, step rewards out. Forwards must come from one thread at a time; `encode` may run beside them."""

    def __init__(self, info: ModelInfo, parts: Parts, engine: Engine) -> None:
        self.info = info
        self._parts = parts
        self._engine = engine

    def encode(self, solution: Solution) -> EncodedSolution:
        """Token ids and read positions. Raises InvalidInput; TooLong says by how many tokens."""
        encoded = self._parts.layout.encode(solution)
        longest = max(len(sequence.ids) for sequence in encoded.sequences)
        limit = self.info.max_tokens
        if longest > limit:
            raise TooLong(
                f"{longest} tokens are {longest - limit} more than the {limit} that {self.info.id} reads",
                tokens=longest,
                limit=limit,
                excess=longest - limit,
            )
        return encoded

    def cost(self, encoded: EncodedSolution) -> int:
        """Tokens that a forward of this solution is expected to compute now."""
        return sum(self._engine.cost(sequence) for sequence in encoded.sequences)

    def forward(self, batch: Sequence[EncodedSolution]) -> list[Reading | StepscoreError]:
        """One reading, or the error of that solution, for each, in order. Raises EngineError for the whole batch."""
        values = iter(self._engine.forward([sequence for encoded in batch for sequence in encoded.sequences]))
        return [self._read(encoded, values) for encoded in batch]

    def advance(self, works: Sequence[Work]) -> list[Reading | StepscoreError | None]:
        """One forward, within the works' allowances; None for a solution that needs more of them.

        An engine that cannot stop in the middle computes every work whole. Raises EngineError for the whole batch.
        """
        if not (self.info.chunked and isinstance(self._engine, ChunkedEngine)):
            return list(self.forward([work.encoded for work in works]))
        self._engine.advance(works)
        return [self._read(work.encoded, iter(work.found)) if work.finished else None for work in works]

    def release(self, work: Work) -> None:
        """Nobody wants this work any more. May be called while a forward runs."""
        if self.info.chunked and isinstance(self._engine, ChunkedEngine):
            self._engine.release(work)

    def score(self, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]:
        """encode and forward; solutions that cannot be encoded keep their place as errors."""
        encoded = [self._try_encode(solution) for solution in solutions]
        answers = iter(self.forward([item for item in encoded if isinstance(item, EncodedSolution)]))
        return [next(answers) if isinstance(item, EncodedSolution) else item for item in encoded]

    def quantize(self, kind: Quantize, bound: float) -> None:
        """Turn weights into 8 bits. Raises QuantizationError where that moves a probe's reward beyond `bound`."""
        if not isinstance(self._engine, QuantizableEngine):
            raise UnsupportedByEngine(f"engine {self.info.engine} does not quantize", engine=self.info.engine)
        error = measured(self.score, partial(self._engine.quantize, kind), bound)
        self.info = replace(self.info, dtype=f"{self.info.dtype}, {kind} weights", quantize_error=error)

    def counts(self) -> TokenCounts:
        return self._engine.counts()

    def purge(self) -> None:
        self._engine.purge()

    def close(self) -> None:
        self._engine.close()

    def _try_encode(self, solution: Solution) -> EncodedSolution | StepscoreError:
        try:
            return self.encode(solution)
        except StepscoreError as error:
            return error

    def _read(self, encoded: EncodedSolution, values: Iterator[Values]) -> Reading | StepscoreError:
        try:
            read = self._parts.read([next(values) for _ in encoded.sequences], encoded)
            return checked(calibrated(read, self.info.calibration), encoded.steps)
        except StepscoreError as error:
            return error


def checked(reading: Reading, steps: int) -> Reading:
    """The reading itself, if it has one finite reward for each step. Raises UnscorableError."""
    if len(reading.rewards) != steps:
        raise UnscorableError(f"{len(reading.rewards)} rewards for {steps} steps", rewards=len(reading.rewards))
    for step, reward in enumerate(reading.rewards):
        if not math.isfinite(reward):
            raise UnscorableError(f"the reward of step {step} is not a finite number", step=step)
    return reading


def open_scorer(
    model: str,
    *,
    name: str | None = None,
    family: str | None = None,
    options: EngineOptions | None = None,
    family_options: Mapping[str, str] | None = None,
    engine: str = "torch",
    cache: Path | None = None,
    calibration: Calibration | None = None,
) -> Scorer:
    """Open a checkpoint for scoring.

    model: "embedded", a folder, or a Hub id. name: what it is called in requests; default the model itself.
    family: overrides the resolution. cache: where "embedded" is prepared; default the user's cache folder.
    calibration: applied to every reward; refused where rewards are no probabilities.
    Raises CheckpointError (UnknownFamily, InvalidOption, ...).
    """
    options = options or EngineOptions()
    facts = _facts_for(model, options, cache)
    chosen = family_named(family) if family else resolve(facts)
    if calibration is not None:
        calibration.check(chosen.rewards, facts.revision)
    parts = bind(chosen, facts, family_options or {})
    if isinstance(parts.head, VerdictHead):
        from stepscore.judge import open_judge  # a Scorer itself, so it imports this module

        scorer: Scorer = open_judge(name or model, chosen, facts, parts, options)
    else:
        running = open_engine(facts, parts.head, options, engine=engine)
        scorer = Scorer(info_of(name or model, chosen, facts, running.info), parts, running)
    scorer.info = replace(scorer.info, calibration=calibration)
    if options.quantize != "none":
        scorer.quantize(options.quantize, options.max_quantize_error)
    return scorer


def family_of(model: str, options: EngineOptions, cache: Path | None = None) -> Family:
    """The family that a checkpoint tells, without loading a weight. Raises CheckpointError (UnknownFamily)."""
    return resolve(_facts_for(model, options, cache))


def _facts_for(model: str, options: EngineOptions, cache: Path | None) -> CheckpointFacts:
    """The weights must be there, unless another server holds them."""
    return checkpoint_facts(model, cache, weights=not options.generator.startswith("openai:"))


def checkpoint_facts(model: str, cache: Path | None = None, *, weights: bool = True) -> CheckpointFacts:
    """The facts of "embedded", a folder or a Hub id. weights: whether they must be there."""
    if model == EMBEDDED:
        from stepscore.embedded.prepare import prepare  # only the default model needs its converter

        return replace(read_facts(prepare(cache)), name=EMBEDDED)
    folder = locate(model, weights=weights)
    return read_facts(folder, name=folder_name(folder) if Path(model).is_dir() else model, weights=weights)


def bind(family: Family, facts: CheckpointFacts, options: Mapping[str, str]) -> Parts:
    """The family's layout, head and reader for this checkpoint."""
    tokenizer = StepTokenizer.open(str(facts.path), family.markers)
    return family.build(LayoutContext(tokenizer, facts.config, family.settle(options), frozenset(facts.shapes)))


def info_of(name: str, family: Family, facts: CheckpointFacts, running: EngineInfo) -> ModelInfo:
    """What the family says of the checkpoint's rewards, and where it runs."""
    return ModelInfo(
        id=name,
        family=family.name,
        revision=facts.revision,
        range=family.rewards,
        aggregate=family.aggregate,
        threshold=family.threshold,
        marker=family.marker,
        max_tokens=running.max_tokens,
        max_batch_tokens=running.max_batch_tokens,
        engine=running.name,
        device=running.device,
        dtype=running.dtype,
        mode=running.mode,
        chunked=running.chunked,
    )
