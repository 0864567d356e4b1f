"""The one model of an offline command, opened from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stepscore.errors import StepscoreError
from stepscore_service.jobs.runs import console
from stepscore_service.serving.scoring import ScoreOptions, resolve_options
from stepscore_service.settings import Settings, named

if TYPE_CHECKING:
    from stepscore.scoring import ModelInfo, Scoring


@contextmanager
def opened(settings: Settings) -> Iterator[Scoring]:
    """The first of the settings' models; ends the command, saying why, if it cannot be opened or run."""
    name, model = named(settings.models[0])
    if len(settings.models) > 1:
        console.info(f"Several models are set; using the first, {name}.")
    try:
        with console.ERR.status(f"Opening {name}"):
            from stepscore_service.serving.open import (
                open_model,  # takes seconds to import, which --help can do without
            )

            scorer = open_model(settings, name, model, settings.family)
    except StepscoreError as error:
        console.fail_with(error)
    try:
        yield scorer
    except StepscoreError as error:
        console.fail_with(error, console.ENGINE_FAILED)
    finally:
        scorer.close()


def options_for(info: ModelInfo, aggregate: str | None, threshold: float | None = None) -> ScoreOptions:
    """The options of a command; ends it if the aggregate does not exist or is undefined for this model's rewards."""
    try:
        return resolve_options(info, aggregate, threshold)
    except StepscoreError as error:
        console.fail_with(error)
