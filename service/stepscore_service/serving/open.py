"""A model of the settings, opened for the service or for a command."""

from __future__ import annotations

from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring
from stepscore_service.logs import quiet_libraries
from stepscore_service.settings import Settings


def open_model(settings: Settings, name: str, model: str, family: str | None, data_parallel: int = 1) -> Scoring:
    """One model under that name. family: None takes the one that the checkpoint says. Raises CheckpointError.

    data_parallel: engines over it, each in a process of its own.
    """
    quiet_libraries()
    return open_scorer(
        model,
        name=name,
        family=family,
        options=settings.engine_options(),
        family_options=settings.options_of_family(),
        engine=settings.engine,
        cache=settings.cache,
        calibration=settings.calibration_of_rewards(),
        data_parallel=data_parallel,
    )
