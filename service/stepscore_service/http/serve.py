"""Run the service: open the models, print what is served, serve, and shut down without losing a request."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import Any, NoReturn

import structlog
import uvicorn
from fastapi import FastAPI

from stepscore.errors import StepscoreError
from stepscore.scoring import ModelInfo
from stepscore_service.http.app import create_app
from stepscore_service.http.door import Door, DoorLimits
from stepscore_service.logs import configure_logs
from stepscore_service.serving.model_pool import open_scorers
from stepscore_service.serving.tokenizers import PolicyTokenizers
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

    A second signal ends the process at once.
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
            leave()
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
    failed = functools.partial(_failed, json_lines=settings.log_format == "json")
    if settings.exposed:
        return failed(ValueError(exposed_reason(settings)))
    if settings.ray:
        return _serve_on_ray(settings, failed)
    try:
        settings, listeners = listen(settings)
    except OSError as error:
        return failed(error)
    with ExitStack() as open_:
        for listener in listeners:
            open_.enter_context(listener)
        try:
            tokenizers = PolicyTokenizers.open(settings.tokenizers)
            app = create_app(settings, scorers := open_scorers(settings), tokenizers=tokenizers)
        except StepscoreError as error:
            return failed(error)
        except KeyboardInterrupt:
            return INTERRUPTED
        _announce(settings, [scorer.info for scorer in scorers.values()], listeners)
        Server(server_config(settings, app), app, settings.drain_seconds).run(sockets=listeners)
    if app.state.pool.fault() is not None:
        leave()
    return 0


def exposed_reason(settings: Settings) -> str:
    return f"{settings.host} can be reached by others: give --api-keys, or --insecure"


def _serve_on_ray(settings: Settings, failed: Callable[[Exception], int]) -> int:
    from stepscore_service.http.on_ray import serve_on_ray  # Ray is large, and an extra of its own

    try:
        return serve_on_ray(settings)
    except (OSError, ValueError, RuntimeError) as error:
        return failed(error)


def leave() -> NoReturn:
    """End the process although a forward still runs, for which a return would wait."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(FAILED)


def _announce(settings: Settings, models: Sequence[ModelInfo], listeners: Sequence[socket.socket]) -> None:
    """Say what is served where: lines for people, or one log line."""
    urls = [_url(settings, listener) for listener in listeners]
    if settings.log_format == "json":
        log.info("serving", version=version(), url=urls[0], admin_url=urls[-1], models=[each.id for each in models])
    else:
        print(banner(models, urls[0], urls[-1]), flush=True)  # noqa: T201


def _failed(error: Exception, *, json_lines: bool) -> int:
    """Print why the service cannot start."""
    if json_lines:
        log.error("cannot serve", reason=str(error))
    else:
        print(f"stepscore: {error}", file=sys.stderr)  # noqa: T201
    return FAILED


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
        **_tls(settings),
    )


def _tls(settings: Settings) -> dict[str, Any]:
    if settings.tls_certificate is None:
        return {}
    return {
        "ssl_certfile": settings.tls_certificate,
        "ssl_keyfile": settings.tls_key,
        "ssl_keyfile_password": settings.tls_key_password.get_secret_value() or None,
        "ssl_ca_certs": settings.tls_client_ca,
        "ssl_cert_reqs": ssl.CERT_REQUIRED if settings.tls_client_ca else ssl.CERT_NONE,
    }


def banner(models: Sequence[ModelInfo], url: str, admin_url: str) -> str:
    """The lines printed at the start: what is served, on which device, and at which addresses."""
    lines = [f"Stepscore {version()}"]
    for info in models:
        lines.append(f"  model    {info.id} (family {info.family}, revision {info.revision})")
        lines.append(f"           {info.engine} on {info.device}, {info.dtype}, mode {info.mode}")
    return "\n".join([*lines, *places(url, admin_url), "  Ctrl-C stops the service."])


def places(url: str, admin_url: str) -> list[str]:
    """Where the page, the documentation and the metrics are, a line each."""
    return [f"  {name:8} {admin_url if name == 'metrics' else url}{path}" for name, path in PLACES.items()]


def listen(settings: Settings) -> tuple[Settings, list[socket.socket]]:
    """Sockets of the main port and of the admin port, if there is one, and the settings with that port's number.

    Ports are taken before the models are opened, so that a port in use is reported at once. Raises OSError.
    """
    main = _bind(settings.host, settings.port)
    if settings.admin_port is None:
        return settings, [main]
    try:
        admin = _bind(settings.host, settings.admin_port)
    except OSError:
        main.close()
        raise
    return settings.model_copy(update={"admin_port": admin.getsockname()[1]}), [main, admin]


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


def _url(settings: Settings, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)
    scheme = "https" if settings.tls_certificate else "http"
    return f"{scheme}://[{shown}]:{port}" if ":" in shown else f"{scheme}://{shown}:{port}"
