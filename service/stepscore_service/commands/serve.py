"""`stepscore serve`: the HTTP service."""

from __future__ import annotations

import typer

from stepscore_service.commands.flags import with_settings
from stepscore_service.settings import Settings


@with_settings()
def serve(*, settings: Settings) -> None:
    """Serve models over HTTP. Every setting is a flag here and an environment variable STEPSCORE_*."""
    from stepscore_service.http.serve import serve as run  # the other commands need no web framework

    raise typer.Exit(run(settings))
