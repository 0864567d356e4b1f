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
    from stepscore.scoring.protocol import ModelInfo, Scoring


@contextmanager
def opened(settings: Settings) -> Iterator[Scoring]:
    """The first of the settings' models; ends the command, saying why, if it cannot be opened or run."""
    name, model = named(settings.models[0])
    if len(settings.models) > 1:
        console.info(f"Several models are set; using the first, {name}.")
    try:
        with console.status(f"Opening {name}"):
            from stepscore_service.serving.open import (
                open_model,  # takes seconds to import, which --help can do without
            )

            scorer = open_model(settings, name, model, settings.family)
    except StepscoreError as error:
        console.fail_with(error)
    try:
        _check_reference(settings, scorer.info)
        yield scorer
    except StepscoreError as error:
        console.fail_with(error, console.ENGINE_FAILED)
    finally:
        scorer.close()


def _check_reference(settings: Settings, info: ModelInfo) -> None:
    """Ends the command if a reference model is given that nothing would be read against."""
    from stepscore.family.registry import family_named  # takes a second to import

    if settings.reference_model and not family_named(info.family).reference:
        flag = "--reference-model (STEPSCORE_REFERENCE_MODEL)"
        console.fail(f"{flag} would change nothing: the family {info.family} reads no second model.")


def options_for(info: ModelInfo, aggregate: str | None, threshold: float | None = None) -> ScoreOptions:
    """The options of a command; ends it if the aggregate does not exist or is undefined for this model's rewards."""
    try:
        return resolve_options(info, aggregate, threshold)
    except StepscoreError as error:
        console.fail_with(error)
