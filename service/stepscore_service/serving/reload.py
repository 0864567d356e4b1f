"""Exchange the weights under a name while the service answers.

The new checkpoint is opened and warmed beside the old one; both are in memory until the last request to the old
one has its answer. A failure before the exchange changes nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from stepscore.errors import CheckpointError, UnknownFamily
from stepscore.scoring.open import family_of
from stepscore.scoring.protocol import ModelInfo, Scoring
from stepscore_service.errors import AnotherFamily, PathNotAllowed, ReloadDisabled
from stepscore_service.serving.metrics import Metrics
from stepscore_service.serving.model_pool import ModelPool, open_warm
from stepscore_service.settings import Settings, split_name


class Reloader:
    """One reload at a time, so that never more than two checkpoints of a model are in memory."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()
        self._paths = dict(map(split_name, settings.models))

    async def reload(self, pool: ModelPool, name: str, path: str | None) -> tuple[ModelInfo, ModelInfo]:
        """What was served under that name, and what is served now.

        path: None takes the one that was opened last. Returns when the old weights are freed. Raises ReloadDisabled,
        UnknownModel, PathNotAllowed, AnotherFamily, CheckpointError, EngineError: the old weights then keep serving.
        """
        if not self._settings.allow_reload:
            raise ReloadDisabled("this service does not exchange weights; start it with --allow-reload")
        async with self._one_at_a_time:
            old, outcome = pool.pick(name).info, "refused"
            try:
                chosen = self._check_allowed(name, path)
                scorer = await asyncio.to_thread(_open, self._settings, old, chosen)
                outcome = "done"
            finally:
                self._metrics.reloads.labels(name, outcome).inc()
            self._paths[name] = chosen
            await pool.exchange(name, scorer)
            return old, scorer.info

    def _check_allowed(self, name: str, path: str | None) -> str:
        chosen = path or self._paths.get(name)
        if chosen is None:
            raise CheckpointError(f"no path is known for {name}; give one", model=name)
        root = self._settings.reload_folder
        if path is not None and root is not None and not Path(path).resolve().is_relative_to(root.resolve()):
            raise PathNotAllowed(f"{path} is not in {root}, the only folder that reloads may use", path=path)
        return chosen


def _open(settings: Settings, old: ModelInfo, path: str) -> Scoring:
    """The checkpoint, open and warm, read by the family of the one before. Raises AnotherFamily, CheckpointError."""
    if settings.family is None:
        _refuse_another(settings, old, path)
    return open_warm(settings, old.id, path, old.family)


def _refuse_another(settings: Settings, old: ModelInfo, path: str) -> None:
    """Raises AnotherFamily if the checkpoint says which family reads it, and it is not the one that is served.

    What callers set by it (thresholds, aggregates, the range of rewards) would change its meaning under one name.
    """
    try:
        found = family_of(path, settings.engine_options(), settings.cache).name
    except UnknownFamily:  # it does not say: reloads are for retrained weights of the same family
        return
    if found != old.family:
        raise AnotherFamily(
            f"{path} is read by family {found}, but {old.id} serves {old.family}; serve it under another name, "
            f"or restart with --family {old.family} if that is how it was trained",
            model=old.id,
            served=old.family,
            found=found,
        )
