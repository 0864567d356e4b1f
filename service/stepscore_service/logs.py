"""Logging: one structlog pipeline for our own events and for those of uvicorn and other libraries."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import structlog
from structlog.typing import Processor

from stepscore_service.settings import LogFormat, LogLevel

_SHARED: Sequence[Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure_logs(format_: LogFormat, level: LogLevel) -> None:
    """Send every log line of the process to standard error in one format."""
    handler = logging.StreamHandler(getattr(sys.stderr, "behind", sys.stderr))  # not one that makes log lines itself
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(format_)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    # uvicorn logs its life cycle at info level, and our access line says more than its own.
    # Its warnings are of bytes that are no HTTP: the door counts them, and who sends them must not fill the log.
    logging.getLogger("uvicorn").setLevel("ERROR")
    # httpx logs whole addresses, with their queries.
    logging.getLogger("httpx").setLevel("WARNING")


def quiet_libraries() -> None:
    """No progress bars and notices of transformers between our lines; its errors go where all logs go."""
    from transformers.utils import logging as library  # takes seconds to import

    library.disable_progress_bar()  # type: ignore[no-untyped-call]
    library.set_verbosity_error()  # type: ignore[no-untyped-call]
    library.disable_default_handler()
    library.enable_propagation()


def _renderers(format_: LogFormat) -> list[Processor]:
    """Tracebacks without local variables: these hold what users sent, and keys."""
    if format_ == "json":
        frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
