"""The one model of an offline command: opened from the settings, described in messages, identified in manifests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stepscore.errors import StepscoreError
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.manifest import INPUT_DIGEST, Manifest
from stepscore_service.jobs.runs.source import Source
from stepscore_service.serving.scoring import ScoreOptions, resolve_options
from stepscore_service.settings import Settings, split_name

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo, Scoring


IDENTIFYING = ("revision", "family", "engine", "dtype", "mode", "max_tokens")
"""The facts of a model on which its rewards depend."""


@contextmanager
def scorer_from(settings: Settings) -> Iterator[Scoring]:
    """The first of the settings' models; ends the command, saying why, if it cannot be opened or run."""
    name, model = split_name(settings.models[0])
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
        "model": [*split_name(settings.models[0]), revision_of(settings, settings.models[0])],
        "family": settings.family,
        "family_options": settings.family_options,
        "engine": settings.engine,
        "calibration": repr(settings.calibration_of_rewards()),
        "options": asdict(settings.engine_options()),
    }
    return dict(json.loads(json.dumps(facts, default=str)))


def revision_of(settings: Settings, model: str) -> str:
    """The revision of a checkpoint, without opening it as a model. Raises StepscoreError."""
    from stepscore.checkpoint import checkpoint_facts  # without torch, which takes seconds to import

    return checkpoint_facts(split_name(model)[1], settings.cache, weights=not settings.generator).revision


def asked_of(command: str, settings: Settings, source: Source, **chosen: Any) -> str:
    """A digest of all that a command was asked to do, known before a model is open; "" if that cannot be known."""
    try:
        identity = identity_of(settings)
    except StepscoreError:
        return ""
    asked = [command, identity, source.digest, source.total, source.names, chosen]
    return hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()
