"""What the results of a run depend on. A run continues only results whose manifest is its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs import atomic

Manifest = Mapping[str, Any]
"""JSON values by name."""
INPUT_DIGEST = "input_sha256"


def differences(before: Manifest, now: Manifest) -> list[str]:
    """For people: each entry that differs, with both values; of entries with entries of their own, those."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [line for name in names for line in _difference(name, before.get(name), now.get(name))]


def _difference(name: str, before: Any, now: Any) -> list[str]:
    if name == INPUT_DIGEST:
        return [f"the input is another file, or has changed (SHA-256 {str(before)[:12]}…, now {str(now)[:12]}…)"]
    if isinstance(before, dict) and isinstance(now, dict):
        return [f"{name}: {line}" for line in differences(before, now)]
    return [f"{name} was {before!r} and is {now!r}"]


def read_manifest(path: Path) -> dict[str, Any]:
    """Raises InvalidInput if the file is not a JSON object, OSError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path} is damaged: {error}. Give another --out, or remove it.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} is damaged: it is not a JSON object. Give another --out, or remove it.")
    return found


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Whole or not at all. Raises OSError."""
    atomic.write_text(path, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
