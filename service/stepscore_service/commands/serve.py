"""`stepscore serve`: the HTTP service."""

from __future__ import annotations

import signal

import typer

from stepscore_service.commands.flags import with_settings
from stepscore_service.settings import Settings


@with_settings()
def serve(*, settings: Settings) -> None:
    """Serve models over HTTP. Every setting is a flag here and an environment variable STEPSCORE_*."""
    # Process 1 of a container has no default action: while models load, Kubernetes would wait for its whole grace.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from stepscore_service.http.serve import serve as run  # the other commands need no web framework

    raise typer.Exit(run(settings))
