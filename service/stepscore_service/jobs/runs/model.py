"""The model of offline rows: how messages describe it, and what identifies its numbers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stepscore.errors import StepscoreError
from stepscore_service.jobs.runs.manifest import INPUT_DIGEST, Manifest
from stepscore_service.jobs.runs.source import Source
from stepscore_service.settings import Settings, named

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo


EMBEDDED = "embedded"
IDENTIFYING = ("revision", "family", "engine", "dtype", "mode", "max_tokens")
"""The facts of a model on which its rewards depend."""


def describe(info: ModelInfo) -> str:
    return f"{info.id} ({info.family}, {info.device} {info.dtype}, {info.mode})"


def input_facts(command: str, source: Source, **chosen: Any) -> Manifest:
    """What rows depend on as far as it is known before a model is open; of `chosen` what is not None."""
    return {
        "command": command,
        INPUT_DIGEST: source.digest,
        "input_rows": source.total,
        "columns": _columns(source),
        **{name: value for name, value in chosen.items() if value is not None},
    }


def manifest_of(command: str, info: ModelInfo, settings: Settings, source: Source, **chosen: Any) -> Manifest:
    """What rows depend on, so that a run only continues its own: the input, the model, how it reads and aggregates."""
    facts = info.as_dict()
    return {
        "command": command,
        INPUT_DIGEST: source.digest,
        "input_rows": source.total,
        "model": info.id,
        **{name: facts[name] for name in IDENTIFYING},
        "family_options": ",".join(sorted(settings.family_options)),
        "reference": str(settings.reference_model) if settings.reference_model else None,
        "generator": settings.generator,
        "calibration": None if info.calibration is None else repr(info.calibration),
        **({"columns": _columns(source)} if source.names else {}),
        **chosen,
    }


def _columns(source: Source) -> str | None:
    return ",".join(map("=".join, source.names)) or None


def identity_of(settings: Settings) -> dict[str, Any]:
    """What would be opened with these settings, as JSON values, from the checkpoint's files alone.

    Raises StepscoreError if they cannot be read.
    """
    facts = {
        "model": [*named(settings.models[0]), revision_of(settings, settings.models[0])],
        "family": settings.family,
        "family_options": settings.family_options,
        "engine": settings.engine,
        "calibration": repr(settings.calibration_of_rewards()),
        "options": asdict(settings.engine_options()),
    }
    return dict(json.loads(json.dumps(facts, default=str)))


def revision_of(settings: Settings, model: str) -> str:
    """The revision of a checkpoint, without opening it as a model. Raises StepscoreError."""
    from stepscore.checkpoint import locate, read_facts  # without torch, which takes seconds to import
    from stepscore.embedded.prepare import prepare

    name, weights = named(model)[1], not settings.generator
    folder = prepare(settings.cache) if name == EMBEDDED else locate(name, weights=weights)
    return read_facts(folder, weights=weights).revision


def asked_of(command: str, settings: Settings, source: Source, **chosen: Any) -> str:
    """A digest of all that a command was asked to do, known before a model is open; "" if that cannot be known."""
    try:
        identity = identity_of(settings)
    except StepscoreError:
        return ""
    asked = [command, identity, source.digest, source.total, source.names, chosen]
    return hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()
