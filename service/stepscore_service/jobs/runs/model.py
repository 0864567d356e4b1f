"""The model of offline rows: how messages describe it, and what identifies its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepscore_service.jobs.runs.manifest import Manifest
from stepscore_service.jobs.runs.source import Source
from stepscore_service.settings import Settings

if TYPE_CHECKING:
    from stepscore.scoring import ModelInfo


IDENTIFYING = ("revision", "family", "engine", "dtype", "mode", "max_tokens")
"""The facts of a model on which its rewards depend."""


def describe(info: ModelInfo) -> str:
    return f"{info.id} ({info.family}, {info.device} {info.dtype}, {info.mode})"


def manifest_of(command: str, info: ModelInfo, settings: Settings, source: Source, **chosen: str | float) -> Manifest:
    """What rows depend on, so that a run only continues its own: the input, the model, how it reads and aggregates."""
    facts = info.as_dict()
    return {
        "command": command,
        "input_sha256": source.digest,
        "input_rows": source.total,
        "model": info.id,
        **{name: facts[name] for name in IDENTIFYING},
        "family_options": ",".join(sorted(settings.family_options)),
        "reference": str(settings.reference_model) if settings.reference_model else None,
        "generator": settings.generator,
        "calibration": None if info.calibration is None else repr(info.calibration),
        **({"columns": ",".join(map("=".join, source.names))} if source.names else {}),
        **chosen,
    }
