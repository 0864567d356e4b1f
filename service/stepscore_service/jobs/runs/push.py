"""New weights for a running service."""

from __future__ import annotations

from pathlib import Path

import httpx

from stepscore_service.client import ServiceError, StepscoreClient
from stepscore_service.client.address import check_url
from stepscore_service.jobs.runs import console
from stepscore_service.schemas.reload import ReloadAnswer

TIMEOUT_SECONDS = 1800.0
"""Opening a large checkpoint and waiting for what the old one still answers."""


def push_weights(checkpoint: str, url: str, model: str | None, token: str) -> ReloadAnswer:
    """The service's answer. Ends the command if it refuses or cannot be reached."""
    path = str(Path(checkpoint).resolve()) if Path(checkpoint).is_dir() else checkpoint
    try:
        check_url(url)
    except ValueError as error:
        console.fail(str(error))
    try:
        with StepscoreClient(url, timeout=TIMEOUT_SECONDS, api_key=token) as client:
            return client.reload(model or client.models()[0].id, path, token=token)
    except ServiceError as error:
        console.fail(f"{url} keeps its old weights: {error}", console.ENGINE_FAILED)
    except httpx.TransportError as error:
        console.fail(f"{url} does not answer ({error}); is the service running?", console.ENGINE_FAILED)
