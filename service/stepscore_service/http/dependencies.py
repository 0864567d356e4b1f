"""What routes get from the application."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends, Header, Request

from stepscore_service.batching.context import Terms
from stepscore_service.schemas.score import Milliseconds
from stepscore_service.serving.metrics import Metrics
from stepscore_service.serving.model_pool import Catalogue


def _catalogue(request: Request) -> Catalogue:
    found: Catalogue = request.app.state.catalogue
    return found


def _metrics(request: Request) -> Metrics:
    found: Metrics = request.app.state.metrics
    return found


def _terms(
    x_request_timeout_ms: Annotated[
        Milliseconds | None,
        Header(description="after this time the answer is 504, and nothing more is computed for the request"),
    ] = None,
    x_tenant: Annotated[
        str,
        Header(max_length=256, description="computed prefixes are reused only among requests of one tenant"),
    ] = "",
) -> Terms:
    until = None if x_request_timeout_ms is None else time.monotonic() + x_request_timeout_ms / 1000
    return Terms(until, x_tenant)


TheCatalogue = Annotated[Catalogue, Depends(_catalogue)]
TheMetrics = Annotated[Metrics, Depends(_metrics)]
TheTerms = Annotated[Terms, Depends(_terms)]
