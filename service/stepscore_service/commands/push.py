"""`stepscore push`: a running service takes new weights."""

from __future__ import annotations

from typing import Annotated

import typer

from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.push import push_weights

AdminToken = Annotated[
    str, typer.Option("--token", envvar="STEPSCORE_ADMIN_TOKEN", help="the service's admin token, if it has one")
]


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
