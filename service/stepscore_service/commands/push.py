"""`stepscore push`: a running service takes new weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import httpx
import typer

from stepscore_service.client import ServiceError, StepscoreClient
from stepscore_service.client.address import check_url
from stepscore_service.jobs.runs import console
from stepscore_service.schemas.reload import ReloadAnswer

AdminToken = Annotated[
    str, typer.Option("--token", envvar="STEPSCORE_ADMIN_TOKEN", help="the service's admin token, if it has one")
]
TIMEOUT_SECONDS = 1800.0
"""Opening a large checkpoint and waiting for what the old one still answers."""


def push(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="folder, or Hub id, that the service can read")
    ],
    url: Annotated[str, typer.Option("--url", help="the service's address")] = "http://127.0.0.1:8000",
    model: Annotated[str | None, typer.Option("--model", help="which model; the first one by default")] = None,
    token: AdminToken = "",
) -> None:
    """Exchange the weights of a running service (started with --allow-reload) without losing a request."""
    answer = push_weights(checkpoint, url, model, token)
    console.info(f"{answer.model}: revision {answer.previous_revision} -> {answer.revision} (family {answer.family})")


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
