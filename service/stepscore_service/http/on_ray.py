"""The same application on Ray Serve (extra `ray`): replicas on a cluster, each the whole service in one process.

Ray's proxy sends requests with one `X-Session-Id`, a digest of the problem, to one replica while it lives, and Ray
starts a further replica when tokens wait. What a replica that dies leaves is a 500 of the proxy or a broken connection:
clients send it again.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import ray
import structlog
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import (
    AutoscalingConfig,
    AutoscalingContext,
    AutoscalingPolicy,
    BackpressureConfig,
    HTTPOptions,
    RequestRouterConfig,
)
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig, ProxyStatus

from stepscore.errors import EngineDead
from stepscore_service.http.app import create_app
from stepscore_service.http.serve import INTERRUPTED, exposed_reason, leave, listen, places
from stepscore_service.logs import configure_logs
from stepscore_service.settings import Settings
from stepscore_service.version import version

NAME = "stepscore"
ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
WAITING = "waiting_tokens"
STARTS = 3
"""How often a replica is started before the start of the service fails."""
RETRY_AFTER_SECONDS = 1.0
SPARE_SECONDS = 5.0
"""How much longer than the replicas the driver waits for their answer to `drain`."""
PROXY_SECONDS, PAUSE_SECONDS = 300.0, 0.2
SETTINGS_OF_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": f"{PROXY_SECONDS:g}",
}
"""Unless the environment says otherwise: nothing is reported to Ray's makers, and a busy machine may start slowly."""
STORE_BYTES = 256 << 20
"""Of a cluster of our own: requests and answers are small, and Ray would take a third of the memory."""
RAY_LOGS = LoggingConfig(log_level=logging.WARNING, enable_access_log=False)
"""Of Ray itself: the application writes its own access lines."""

log = structlog.get_logger("stepscore.serve")


class TokenScaling:
    """Ray's autoscaling policy: as many replicas as leave each `tokens` that wait. Ray applies bounds and delays."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        waiting = sum((context.aggregated_metrics or {}).get(WAITING, {}).values())
        return max(1, math.ceil(waiting / self._tokens)), {}


class ReplicaHooks:
    """What Ray asks of a replica beside HTTP."""

    app: FastAPI

    async def check_health(self) -> None:
        """Raises EngineDead: Ray then replaces the replica."""
        fault = self.app.state.pool.fault()
        if fault is not None:
            raise EngineDead(fault)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        return {WAITING: sum(each.batcher.waiting_tokens for each in self.app.state.pool.served)}

    async def drain(self, seconds: float) -> None:
        """Refuse new work, and let what is there finish."""
        await self.app.state.pool.drain(seconds)


def build_application(given: Mapping[str, Any]) -> serve.Application:
    """For the `import_path` of a RayService, whose `args` are settings. Raises ValueError as the settings do."""
    return application(Settings(**{**given, "ray": True}))


def application(settings: Settings) -> serve.Application:
    """What `serve.run` takes. Raises ValueError if others could use the service without a key."""
    if settings.exposed:
        raise ValueError(exposed_reason(settings))

    def build() -> FastAPI:
        configure_logs(settings.log_format, settings.log_level)
        return create_app(settings)

    deployment = serve.deployment(serve.ingress(build)(ReplicaHooks)).options(
        name=NAME,
        autoscaling_config=_scaling(settings),
        ray_actor_options={"num_cpus": settings.ray_replica_cpus, "num_gpus": _gpus(settings)},
        # The application admits by tokens; these bound what reaches it.
        max_ongoing_requests=settings.max_connections,
        max_queued_requests=settings.max_connections,
        backpressure_config=BackpressureConfig(status_code=503, retry_after_s=RETRY_AFTER_SECONDS),
        graceful_shutdown_timeout_s=settings.drain_seconds,
        max_constructor_retry_count=STARTS,
        request_router_config=RequestRouterConfig(request_router_class=ROUTER),
        logging_config=RAY_LOGS,
    )
    return deployment.bind()


def _scaling(settings: Settings) -> AutoscalingConfig:
    return AutoscalingConfig(
        min_replicas=settings.ray_replicas,
        max_replicas=max(settings.ray_replicas, settings.ray_max_replicas),
        policy=AutoscalingPolicy(policy_function=TokenScaling, policy_kwargs={"tokens": settings.ray_replica_tokens}),
    )


def _gpus(settings: Settings) -> int:
    """GPUs of a replica: those that its engines span, if the device is CUDA or the cluster has any."""
    on_gpu = settings.device == "cuda" or (settings.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
    return settings.data_parallel * settings.tensor_parallel_size if on_gpu else 0


def serve_on_ray(settings: Settings) -> int:
    """Serve from a cluster until SIGTERM or Ctrl-C; the exit code. A second signal ends the process at once.

    Raises OSError for a port in use, ValueError for more than the machine has, RuntimeError if Ray or a replica fails.
    """
    try:
        with _cluster(settings) as settings:
            handle = serve.run(application(settings), name=NAME, route_prefix="/")
            _wait_for_proxy()
            stop = _stop_signals()
            _announce(settings)
            stop.wait()
            _drain(handle, settings.drain_seconds)
    except KeyboardInterrupt:
        return INTERRUPTED
    except RayError as error:
        raise RuntimeError(f"Ray: {error}") from error
    return 0


@contextmanager
def _cluster(settings: Settings) -> Iterator[Settings]:
    """Ray Serve on the cluster that RAY_ADDRESS names, or on one that lives as long as this.

    Yields the settings with the port's number.
    """
    os.environ.update(SETTINGS_OF_RAY | os.environ)
    if os.environ.get("RAY_ADDRESS"):
        ray.init(logging_level=logging.WARNING)
    else:
        ray.init(
            address="local", include_dashboard=False, object_store_memory=STORE_BYTES, logging_level=logging.WARNING
        )
        _check_cpus(settings)
    try:
        if not serve.status().proxies:
            settings = _with_free_port(settings)
            with suppress(TimeoutError):  # Ray waits a minute for its proxy; `_wait_for_proxy` waits longer
                serve.start(http_options=_http_options(settings), logging_config=RAY_LOGS)
        elif not settings.port:
            raise ValueError("Ray Serve runs on this cluster already: give the --port that it answers on")
        yield settings
    finally:
        if NAME in serve.status().applications:
            serve.delete(NAME)
        ray.shutdown()


def _wait_for_proxy() -> None:
    """Returns when a proxy answers. Raises RuntimeError if none does in time."""
    until = time.monotonic() + PROXY_SECONDS
    while not any(status == ProxyStatus.HEALTHY for status in serve.status().proxies.values()):
        if time.monotonic() > until:
            raise RuntimeError(f"Ray's proxy did not start within {PROXY_SECONDS:g} s")
        time.sleep(PAUSE_SECONDS)


def _check_cpus(settings: Settings) -> None:
    """Raises ValueError if this machine has too few CPUs for the replicas."""
    wanted, there = settings.ray_replicas * settings.ray_replica_cpus, ray.cluster_resources().get("CPU", 0)
    if wanted > there:
        ray.shutdown()
        raise ValueError(f"{settings.ray_replicas} replicas want {wanted} CPUs, but this machine has {there:g}")


def _with_free_port(settings: Settings) -> Settings:
    """The port's number, if it is 0. Raises OSError if it is in use."""
    _, [listener] = listen(settings)
    with listener:
        return settings.model_copy(update={"port": listener.getsockname()[1]})


def _http_options(settings: Settings) -> HTTPOptions:
    return HTTPOptions(
        host=settings.host,
        port=settings.port,
        keep_alive_timeout_s=settings.idle_seconds,
        ssl_certfile=settings.tls_certificate and str(settings.tls_certificate),
        ssl_keyfile=settings.tls_key and str(settings.tls_key),
        ssl_keyfile_password=settings.tls_key_password.get_secret_value() or None,
    )


def _stop_signals() -> threading.Event:
    """Set by the first SIGTERM or Ctrl-C."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            leave()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def _drain(handle: DeploymentHandle[Any], seconds: float) -> None:
    log.info("draining", seconds=seconds)
    handle.broadcast("drain", seconds).results(timeout_s=seconds + SPARE_SECONDS)


def _announce(settings: Settings) -> None:
    scheme = "https" if settings.tls_certificate else "http"
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(settings.host, settings.host)
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"
    if settings.log_format == "json":
        log.info("serving", version=version(), url=url, models=settings.models, replicas=settings.ray_replicas)
        return
    most = max(settings.ray_replicas, settings.ray_max_replicas)
    count = f"{settings.ray_replicas}" if most == settings.ray_replicas else f"{settings.ray_replicas} to {most}"
    lines = [f"Stepscore {version()} on Ray, {count} replicas", *(f"  model    {each}" for each in settings.models)]
    print("\n".join([*lines, *places(url, url), "  Ctrl-C stops the service."]), flush=True)  # noqa: T201
