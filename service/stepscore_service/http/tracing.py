"""OpenTelemetry traces: a span for each request and, under it, its time in the tokenizer, the queue and forwards.

Spans are made from the times that the request noted on its way, so that tracing costs nothing before the answer. Needs
the extra `telemetry`; off unless an endpoint is set.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.types import Scope

from stepscore_service.batching.protocols import RequestFacts
from stepscore_service.http.request_state import route_of
from stepscore_service.version import version

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

NANOSECONDS = 1_000_000_000


class Traces:
    """Sends spans to an OTLP collector over HTTP. endpoint: its address, without `/v1/traces`."""

    def __init__(self, endpoint: str) -> None:
        self._provider = _provider(endpoint)
        self._tracer: Tracer = self._provider.get_tracer("stepscore", version())

    def record(
        self, scope: Scope, facts: RequestFacts, attributes: Mapping[str, Any], answered: tuple[float, float]
    ) -> None:
        """A request that has been answered. A `traceparent` header makes it part of the caller's trace.

        answered: its start and end on the monotonic clock, as those of its parts.
        """
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, set_span_in_context

        route = route_of(scope)
        shift = time.time_ns() - time.monotonic_ns()
        started, ended = (int(each * NANOSECONDS) + shift for each in answered)
        context = extract(dict(Headers(scope=scope)))
        known = {"http.request.method": scope["method"], "http.route": route, **attributes}
        span = self._tracer.start_span(
            f"{scope['method']} {route}", context, SpanKind.SERVER, known, start_time=started
        )
        inside = set_span_in_context(span)
        for name in ("tokenise", "queue", "forward"):
            part: tuple[float, float] | None = getattr(facts, name)
            if part is not None:
                begin, end = (int(each * NANOSECONDS) + shift for each in part)
                self._tracer.start_span(name, inside, start_time=begin).end(end)
        span.end(ended)

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()


def _provider(endpoint: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "stepscore", "service.version": version()}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    return provider
