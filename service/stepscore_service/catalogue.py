"""The models that a service holds, each with its own batcher."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepscore.errors import UnknownModel
from stepscore.scorer import ModelInfo, Scorer, open_scorer
from stepscore.types import Solution
from stepscore_service.batcher import Batcher
from stepscore_service.errors import Draining
from stepscore_service.metrics import Metrics, ModelMeter
from stepscore_service.settings import Settings, named

WARM_UP = Solution("How many are three and four?", ("3 + 4 = 7", "So the answer is 7."))


def open_scorers(settings: Settings) -> dict[str, Scorer]:
    """Every model of the settings by name, the default first, each warmed by one forward. Raises CheckpointError."""
    return {name: _open(settings, name, model) for name, model in map(named, settings.models)}


def _open(settings: Settings, name: str, model: str) -> Scorer:
    scorer = open_scorer(
        model,
        name=name,
        family=settings.family,
        options=settings.engine_options(),
        family_options=settings.options_of_family(),
        engine=settings.engine,
        cache=settings.cache,
        calibration=settings.calibration_of_rewards(),
    )
    scorer.score([WARM_UP])
    return scorer


@dataclass(frozen=True, slots=True)
class Served:
    """One model and the batcher in front of it."""

    info: ModelInfo
    batcher: Batcher
    max_characters: int


class Catalogue:
    """What requests are answered from. Made on the running event loop."""

    def __init__(self, scorers: Mapping[str, Scorer], settings: Settings, metrics: Metrics) -> None:
        self.draining = False
        self._served = {name: _serve(scorer, settings, metrics) for name, scorer in scorers.items()}

    @property
    def models(self) -> Sequence[ModelInfo]:
        """The default model first."""
        return [served.info for served in self._served.values()]

    def pick(self, name: str | None) -> Served:
        """The model of that name, or the default one. Raises UnknownModel, and Draining at shutdown."""
        if self.draining:
            raise Draining("the service is shutting down and takes no new work")
        chosen = self._served.get(name) if name is not None else next(iter(self._served.values()))
        if chosen is None:
            known = ", ".join(self._served)
            raise UnknownModel(f"no model is called {name!r}; served: {known}", model=name, known=list(self._served))
        return chosen

    async def drain(self, seconds: float) -> None:
        """Refuse new work, and let what is there finish."""
        self.draining = True
        await asyncio.gather(*(served.batcher.drain(seconds) for served in self._served.values()))

    async def close(self) -> None:
        for served in self._served.values():
            await served.batcher.close()


def _serve(scorer: Scorer, settings: Settings, metrics: Metrics) -> Served:
    batcher = Batcher(
        scorer,
        ModelMeter(metrics, scorer.info.id),
        max_queue_tokens=settings.max_queue_tokens,
        max_solutions=settings.max_batch_solutions,
    )
    metrics.watch(scorer, batcher)
    return Served(scorer.info, batcher, settings.max_characters)
