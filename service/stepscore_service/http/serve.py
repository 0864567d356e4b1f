"""Run the service: open the models, print what is served, serve, and shut down without losing a request."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn

import structlog
import uvicorn
from fastapi import FastAPI

from stepscore.errors import StepscoreError
from stepscore.scoring.protocol import ModelInfo
from stepscore_service.http.app import create_app
from stepscore_service.http.certificates import Certificates, open_certificates
from stepscore_service.http.door import SPARE_CONNECTIONS, Door, DoorLimits
from stepscore_service.logs import configure_logs
from stepscore_service.serving.keys import KeyRing
from stepscore_service.serving.model_pool import open_scorers
from stepscore_service.serving.search import PolicyServer
from stepscore_service.serving.tokenizers import PolicyTokenizers
from stepscore_service.settings import Settings
from stepscore_service.version import version

FAILED = 1
INTERRUPTED = 130
LAST_SECONDS = 2
"""How long connections get to read their answers after all answers are ready."""
BACKLOG = 2048
OTHER_FILES = 256
"""Open files of the process that are not connections."""
TICKS_PER_SECOND = 10
"""How often uvicorn calls `on_tick`."""
PLACES = {"page": "/", "docs": "/docs", "metrics": "/metrics"}

log = structlog.get_logger("stepscore.serve")


class Server(uvicorn.Server):
    """uvicorn with an orderly shutdown: refuse new work, finish what runs, and only then stop listening.

    faulty: whether a model could not answer any more when it ended.

    A second signal ends the process at once. A terminal that is closed (SIGHUP) counts as a signal to stop.
    """

    def __init__(
        self, config: uvicorn.Config, app: FastAPI, drain_seconds: float, certificates: Certificates | None = None
    ) -> None:
        super().__init__(config)
        self._app = app
        self._drain_seconds = drain_seconds
        self._certificates = certificates
        self._stop_requested = False
        self._drain: asyncio.Task[None] | None = None
        self.faulty = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Does not call the base: it would end the process by the signal, and the exit code would say failure."""
        if self._stop_requested:
            leave()
        self._stop_requested = True

    async def on_tick(self, counter: int) -> bool:
        if self._certificates is not None and counter % TICKS_PER_SECOND == 0:
            self._certificates.refresh()
        if self._stop_requested and self._drain is None:
            self._drain = asyncio.create_task(self._drain_and_exit())
        return await super().on_tick(counter)

    async def _drain_and_exit(self) -> None:
        """Exits whatever happens: a service that only refuses would have to be killed."""
        pool = self._app.state.pool
        pool.draining = True
        try:
            running = set(self.server_state.tasks)
            log.info("draining", running=len(running), seconds=self._drain_seconds)
            if running:
                await asyncio.wait(running, timeout=self._drain_seconds)
            await pool.drain(0)
            self.faulty = pool.fault() is not None
        finally:
            self.should_exit = True


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code."""
    configure_logs(settings.log_format, settings.log_level)
    failed = functools.partial(_report_failure, json_lines=settings.log_format == "json")
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
            certificates = open_certificates(settings)
            keys = KeyRing(settings)
            tokenizers = PolicyTokenizers.open(settings.tokenizers)
            scorers, policy = open_scorers(settings), PolicyServer.open(settings)
            app = create_app(settings, scorers, policy=policy, tokenizers=tokenizers, keys=keys)
            allow_connections(settings.max_connections)
            _answer(listeners)
        except (StepscoreError, OSError) as error:
            return failed(error)
        except MemoryError:
            return failed(
                MemoryError("there is not enough memory to open the models (docs/operations.md says how much)")
            )
        except KeyboardInterrupt:
            return INTERRUPTED
        _announce(settings, [scorer.info for scorer in scorers.values()], listeners)
        server = Server(server_config(settings, app, certificates), app, settings.drain_seconds, certificates)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # `nohup` ignores it
            signal.signal(signal.SIGHUP, server.handle_exit)
        server.run(sockets=listeners)
    if server.faulty:
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


def _report_failure(error: Exception, *, json_lines: bool) -> int:
    """Print why the service cannot start."""
    if json_lines:
        log.error("cannot serve", reason=str(error))
    else:
        print(f"stepscore: {error}", file=sys.stderr)  # noqa: T201
    return FAILED


def server_config(settings: Settings, app: FastAPI, certificates: Certificates | None = None) -> uvicorn.Config:
    """uvicorn with the settings' limits on connections, over TLS if there are certificates."""
    door = functools.partial(Door, limits=DoorLimits.of(settings), count_refusal=app.state.metrics.count_error)
    config = uvicorn.Config(
        app,
        loop="auto",
        http=door,  # type: ignore[arg-type]  # it is called as the class would be
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_SECONDS,
        timeout_keep_alive=settings.idle_seconds,
        ws="none",
        backlog=BACKLOG,
    )
    config.load()
    config.ssl = None if certificates is None else certificates.context
    return config


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


def _answer(listeners: Sequence[socket.socket]) -> None:
    """Take connections from now on. Raises OSError if another process does so on the same port since it was taken."""
    for listener in listeners:
        try:
            listener.listen(BACKLOG)
        except OSError as error:
            host, port = listener.getsockname()[:2]
            raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error


def allow_connections(connections: int) -> None:
    """Raise this process's limit of open files so that the door, and not the kernel, refuses what is too many."""
    needed = connections + SPARE_CONNECTIONS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        reason = f"--max-connections {connections} needs {needed} open files and {hard} are allowed (ulimit -Hn)"
        log.warning("few_files", reason=reason)


def _url(settings: Settings, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)
    scheme = "https" if settings.tls_certificate else "http"
    return f"{scheme}://[{shown}]:{port}" if ":" in shown else f"{scheme}://{shown}:{port}"
