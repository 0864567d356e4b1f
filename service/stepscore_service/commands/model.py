"""The one model of an offline command, opened from the settings, and what identifies its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stepscore.aggregate import aggregate
from stepscore.errors import StepscoreError
from stepscore_service.commands.journal import Manifest
from stepscore_service.commands.rows import Source
from stepscore_service.commands.say import ENGINE_FAILED, ERR, note, stop_with
from stepscore_service.settings import Settings, named

if TYPE_CHECKING:
    from stepscore.scorer import ModelInfo, Scorer


@contextmanager
def opened(settings: Settings) -> Iterator[Scorer]:
    """The first of the settings' models; ends the command, saying why, where it cannot be opened or run."""
    name, model = named(settings.models[0])
    if len(settings.models) > 1:
        note(f"Several models are set; using the first, {name}.")
    try:
        with ERR.status(f"Opening {name}"):
            from stepscore.scorer import open_scorer  # takes seconds to import, which `--help` need not wait for

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
    except StepscoreError as error:
        stop_with(error)
    try:
        yield scorer
    except StepscoreError as error:
        stop_with(error, ENGINE_FAILED)
    finally:
        scorer.close()


def described(info: ModelInfo) -> str:
    return f"{info.id} ({info.family}, {info.device} {info.dtype}, {info.mode})"


def aggregate_of(info: ModelInfo, wanted: str | None) -> str:
    """The aggregate to use; ends the command for one that does not exist or is undefined for this model's rewards."""
    name = wanted or info.aggregate
    try:
        aggregate([0.5], name, info.range)
    except StepscoreError as error:
        stop_with(error)
    return name


def manifest_of(command: str, info: ModelInfo, settings: Settings, source: Source, **chosen: str | float) -> Manifest:
    """What rows depend on, so that a run only continues its own: the input, the model, how it reads and aggregates."""
    return {
        "command": command,
        "input_sha256": source.digest,
        "input_rows": source.total,
        "model": info.id,
        "revision": info.revision,
        "family": info.family,
        "family_options": ",".join(sorted(settings.family_options)),
        "reference": str(settings.reference) if settings.reference else None,
        "generator": settings.generator,
        "engine": info.engine,
        "dtype": info.dtype,
        "mode": info.mode,
        "max_tokens": info.max_tokens,
        "calibration": None if info.calibration is None else repr(info.calibration),
        **chosen,
    }
