"""The models of an evaluation: opened only if there is something to ask them, and noted beside the rows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from stepscore.errors import InvalidInput, StepscoreError
from stepscore_service.jobs.evaluate.facts import hardware_of
from stepscore_service.jobs.runs.manifest import read_manifest, write_manifest
from stepscore_service.jobs.runs.model import identity_of, revision_of
from stepscore_service.jobs.runs.rewards import Rewards, rewards_from
from stepscore_service.settings import Settings

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo

NOTE = "model.json"


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """What rewards come from. info: None if no model is asked. outcome: the outcome model with its revision, or "".

    hardware: on which they were computed.
    """

    info: ModelInfo | None
    outcome: str
    hardware: Mapping[str, Any]


class EvaluationModels:
    """A context. The model of the settings, or the one of the service at `url`; and the outcome model `orm`, if any."""

    def __init__(self, settings: Settings, url: str | None, orm: str | None) -> None:
        self._settings, self._url, self._orm = settings, url, orm
        self._stack = ExitStack()
        self._rewards: Rewards | None = None
        self._outcome: Rewards | None = None

    def __enter__(self) -> EvaluationModels:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    def rewards(self) -> Rewards:
        """Opened at the first call. Ends the command if it cannot be used."""
        self._rewards = self._rewards or self._stack.enter_context(rewards_from(self._settings, self._url))
        return self._rewards

    def outcome(self) -> Rewards:
        """Opened at the first call. Ends the command if it cannot be used."""
        settings = _settings_of_outcome(self._settings, self._orm or "")
        self._outcome = self._outcome or self._stack.enter_context(rewards_from(settings, None))
        return self._outcome

    def open(self, asked: bool) -> EvaluatedModel:
        """The facts of the models, which are opened for that. asked: whether any row asks the model."""
        info = self.rewards().info if asked else None
        outcome = self.outcome().info if self._orm else None
        written = "" if outcome is None else f"{outcome.id}@{outcome.revision}"
        return EvaluatedModel(info, written, hardware_of(info, self._url))

    def note(self, model: EvaluatedModel, out: Path) -> None:
        """Write down what was opened, for `read_note`. Raises OSError."""
        info = None if model.info is None else model.info.as_dict()
        facts = {"model": info, "outcome": model.outcome, "hardware": model.hardware}
        write_manifest(out / NOTE, {"opened": self._identity(), **facts})

    def read_note(self, out: Path) -> EvaluatedModel | None:
        """What an earlier run wrote down, if the same models would be opened now. Opens none."""
        from stepscore.scoring.protocol import (
            ModelInfo,  # takes seconds to import, which a first run spends on the model anyway
        )

        identity = self._identity() if (out / NOTE).exists() else None
        if identity is None:
            return None
        try:
            found = read_manifest(out / NOTE)
        except InvalidInput:
            return None
        if found["opened"] != identity:
            return None
        info = None if found["model"] is None else ModelInfo.from_dict(found["model"])
        return EvaluatedModel(info, found["outcome"], found["hardware"])

    def _identity(self) -> Any:
        """What would be opened, as JSON; None if only opening says it: a service may have other weights by now."""
        if self._url is not None:
            return None
        try:
            outcome = [self._orm, revision_of(self._settings, self._orm)] if self._orm else None
            return {**identity_of(self._settings), "outcome": outcome}
        except StepscoreError:
            return None


def _settings_of_outcome(settings: Settings, orm: str) -> Settings:
    """The same engine for another model: what names the first model's family is not meant for it."""
    changed = {"models": (orm,), "family": None, "family_options": (), "temperature": 1.0, "calibration": None}
    return settings.model_copy(update=changed)
