"""The models that a service holds, each with its own batcher."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from stepscore.errors import CheckpointError, UnknownModel, UnscorableError
from stepscore.scoring.protocol import ModelInfo, Scoring
from stepscore.scoring.replicated import ReplicatedScorer
from stepscore.types import Solution
from stepscore_service.batching.batcher import Batcher
from stepscore_service.batching.replicas import AnyBatcher, ReplicatedBatcher
from stepscore_service.errors import Draining
from stepscore_service.serving.admission import Admission
from stepscore_service.serving.metrics import Metrics, ModelMetrics
from stepscore_service.serving.open import open_model
from stepscore_service.settings import Settings, split_name

WARM_UP = Solution("How many are three and four?", ("3 + 4 = 7", "So the answer is 7."))


def open_scorers(settings: Settings) -> dict[str, Scoring]:
    """Every model of the settings by name, the default first, each warmed by one forward. Raises CheckpointError."""
    return {name: open_warm(settings, name, model, settings.family) for name, model in map(split_name, settings.models)}


def open_warm(settings: Settings, name: str, model: str, family: str | None) -> Scoring:
    """One model under that name, warmed by one forward.

    Raises CheckpointError, also if its numbers are not finite, and EngineError if the forward fails.
    """
    return warmed(open_model(settings, name, model, family, settings.data_parallel))


def warmed(scorer: Scoring) -> Scoring:
    """The scorer after its first forward; closed if that fails, since its processes would outlive it. Raises as above.

    The first forward of a model compiles, and is where a GPU shows that it lacks memory.
    """
    try:
        for each in scorer.replicas if isinstance(scorer, ReplicatedScorer) else [scorer]:
            _warm(each)
    except BaseException:
        scorer.close()
        raise
    return scorer


def _warm(scorer: Scoring) -> None:
    """Raises CheckpointError if the model cannot score anything: ready, it would answer every request with an error."""
    (answer,) = scorer.score([WARM_UP])
    if isinstance(answer, UnscorableError):
        raise CheckpointError(f"{scorer.info.id} is not served: {answer.message}", model=scorer.info.id)


def batcher_for(scorer: Scoring, settings: Settings, metrics: ModelMetrics, admission: Admission) -> AnyBatcher:
    """A batcher for the scorer, or one for each of its replicas. To be called on the running event loop."""
    if isinstance(scorer, ReplicatedScorer):
        return ReplicatedBatcher(scorer, lambda each: _batcher(each, settings, metrics, admission), _warm)
    return _batcher(scorer, settings, metrics, admission)


def _batcher(scorer: Scoring, settings: Settings, metrics: ModelMetrics, admission: Admission) -> Batcher:
    return Batcher(
        scorer,
        metrics,
        admission=admission,
        max_solutions=settings.max_batch_solutions,
        max_characters=settings.max_characters,
        max_forward_seconds=settings.max_forward_seconds,
    )


class ServedModel:
    """One model, the batcher in front of it, and the requests that use it. For the event loop only."""

    def __init__(self, scorer: Scoring, settings: Settings, metrics: Metrics, admission: Admission) -> None:
        self.info = scorer.info
        self.metrics = ModelMetrics(metrics, scorer.info, settings.drift_solutions)
        self.batcher = batcher_for(scorer, settings, self.metrics, admission)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.watch(scorer, self.batcher, self.metrics.drift)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Counts a request that is in flight."""
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def wait_idle(self) -> None:
        """Returns when no request is in flight. Call it after new requests have stopped coming."""
        await self._idle.wait()


class ModelPool:
    """The models that answer requests. Made on the running event loop."""

    def __init__(self, scorers: Mapping[str, Scoring], settings: Settings, metrics: Metrics) -> None:
        self.draining = False
        self._settings, self._metrics = settings, metrics
        self._retired: list[ServedModel] = []
        self._admission = Admission(settings.max_queue_tokens, settings.max_queue_seconds)
        self._served = {name: self._serve(scorer) for name, scorer in scorers.items()}

    @property
    def served(self) -> Sequence[ServedModel]:
        """The default model first; without those that only finish their work."""
        return list(self._served.values())

    @property
    def models(self) -> Sequence[ModelInfo]:
        """The default model first."""
        return [served.info for served in self._served.values()]

    def pick(self, name: str | None) -> ServedModel:
        """The model of that name, or the default one. Raises UnknownModel, and Draining at shutdown."""
        if self.draining:
            raise Draining("the service is shutting down and takes no new work")
        chosen = self._served.get(name) if name is not None else next(iter(self._served.values()))
        if chosen is None:
            known = ", ".join(self._served)
            raise UnknownModel(f"no model is called {name!r}; served: {known}", model=name, known=list(self._served))
        return chosen

    @contextmanager
    def use(self, name: str | None) -> Iterator[ServedModel]:
        """The model that `pick` finds; it stays open until the request has its answer, even if it is exchanged."""
        chosen = self.pick(name)
        with chosen.in_use():
            yield chosen

    async def exchange(self, name: str, scorer: Scoring) -> None:
        """From now on requests meet this scorer; returns when the old one has answered its own and is closed."""
        old, new = self._served[name], self._serve(scorer)
        self._served[name] = new
        self._retired.append(old)
        await old.wait_idle()
        if old in self._retired:
            self._retired.remove(old)
            await old.batcher.close()
            self._metrics.retire(name, old.batcher)

    def fault(self) -> str | None:
        """Why a model answers no more until the process is restarted; None while all do."""
        faults = (f"{served.info.id}: {fault}" for served in self._all() if (fault := served.batcher.fault()))
        return next(faults, None)

    def engines(self) -> tuple[int, int]:
        """How many engines the served models have, and how many of them work."""
        each = [served.batcher.engines for served in self.served]
        return sum(total for total, _ in each), sum(working for _, working in each)

    async def drain(self, seconds: float) -> None:
        """Refuse new work, and let what is there finish."""
        self.draining = True
        await asyncio.gather(*(served.batcher.drain(seconds) for served in self._all()))

    async def close(self) -> None:
        for served in self._all():
            await served.batcher.close()
        self._retired.clear()

    def _serve(self, scorer: Scoring) -> ServedModel:
        return ServedModel(scorer, self._settings, self._metrics, self._admission)

    def _all(self) -> list[ServedModel]:
        return [*self._served.values(), *self._retired]
