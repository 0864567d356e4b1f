"""Run the service: open the models, print what is served, serve, and shut down without losing a request."""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
from collections.abc import Sequence
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from stepscore.errors import StepscoreError
from stepscore.scoring import ModelInfo
from stepscore_service.http.app import create_app
from stepscore_service.http.door import Door, DoorLimits
from stepscore_service.logs import configure_logs
from stepscore_service.serving.model_pool import open_scorers
from stepscore_service.settings import Settings
from stepscore_service.version import version

FAILED = 1
INTERRUPTED = 130
LAST_SECONDS = 2
"""How long connections get to read their answers after all answers are ready."""
BACKLOG = 2048
PLACES = {"page": "/", "docs": "/docs", "metrics": "/metrics"}

log = structlog.get_logger("stepscore.serve")


class Server(uvicorn.Server):
    """uvicorn with an orderly shutdown: refuse new work, finish what runs, and only then stop listening.

    A second signal does not wait for what runs.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._drain_seconds = drain_seconds
        self._stop_requested = False
        self._drain: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Does not call the base: it would end the process by the signal, and the exit code would say failure."""
        if self._stop_requested:
            self.should_exit = self.force_exit = True
        self._stop_requested = True

    async def on_tick(self, counter: int) -> bool:
        if self._stop_requested and self._drain is None:
            self._drain = asyncio.create_task(self._drain_and_exit())
        return await super().on_tick(counter)

    async def _drain_and_exit(self) -> None:
        pool = self._app.state.pool
        pool.draining = True
        running = set(self.server_state.tasks)
        log.info("draining", running=len(running), seconds=self._drain_seconds)
        if running:
            await asyncio.wait(running, timeout=self._drain_seconds)
        await pool.drain(0)
        self.should_exit = True


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code."""
    configure_logs(settings.log_format, settings.log_level)
    try:
        listener = _listen(settings)
    except OSError as error:
        return _failed(error)
    with listener:
        try:
            scorers = open_scorers(settings)
        except StepscoreError as error:
            return _failed(error)
        except KeyboardInterrupt:
            return INTERRUPTED
        print(banner([scorer.info for scorer in scorers.values()], _url(listener)), flush=True)  # noqa: T201
        _run(settings, create_app(settings, scorers), listener)
    return 0


def _failed(error: Exception) -> int:
    """Print why the service cannot start."""
    print(f"stepscore: {error}", file=sys.stderr)  # noqa: T201
    return FAILED


def _run(settings: Settings, app: FastAPI, listener: socket.socket) -> None:
    Server(server_config(settings, app), app, settings.drain_seconds).run(sockets=[listener])


def server_config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    """uvicorn with the settings' limits on connections."""
    door = functools.partial(Door, limits=DoorLimits.of(settings), count_refusal=app.state.metrics.count_error)
    return uvicorn.Config(
        app,
        loop="auto",
        http=door,  # type: ignore[arg-type]  # it is called as the class would be
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_SECONDS,
        timeout_keep_alive=settings.idle_seconds,
        backlog=BACKLOG,
    )


def banner(models: Sequence[ModelInfo], url: str) -> str:
    """The lines printed at the start: what is served, on which device, and at which addresses."""
    lines = [f"Stepscore {version()}"]
    for info in models:
        lines.append(f"  model    {info.id} (family {info.family}, revision {info.revision})")
        lines.append(f"           {info.engine} on {info.device}, {info.dtype}, mode {info.mode}")
    lines += [f"  {name:8} {url}{path}" for name, path in PLACES.items()]
    return "\n".join([*lines, "  Ctrl-C stops the service."])


def _listen(settings: Settings) -> socket.socket:
    """The port is taken before the models are opened, so that a port in use is reported at once. Raises OSError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}") from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
