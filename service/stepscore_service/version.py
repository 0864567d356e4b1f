"""The version of the installed distribution."""

from __future__ import annotations

from importlib.metadata import version as installed


def version() -> str:
    return installed("stepscore")
