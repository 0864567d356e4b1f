"""Load on the live service: requests come at random (Poisson) whether or not earlier ones are answered.

    python -m benchmarks.service --model embedded --seconds 15

Two services are measured in turn with the same checkpoint, requests and arrival times: one as it is, and one whose
forwards take one solution each (`max_batch_solutions=1`). The offered rates are multiples of what a single client that
waits for each answer gets. No request is sent twice to one service, so that nothing is
answered from memory. Only addresses on this machine are used; the run ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import platform
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import httpx

from benchmarks.service_requests import Request, origin, workload

FACTORS = (0.5, 1.0, 2.0)
"""Offered rates over the capacity of one request at a time."""
RUN = "import sys; from stepscore_service.http.serve import serve; from stepscore_service.settings import Settings; "
RUN += "sys.exit(serve(Settings()))"
LIMITS = {"one at a time": "1", "batched": "0"}
"""Solutions of one forward; 0 is no limit."""


@dataclass(frozen=True, slots=True)
class Point:
    """One service under one rate. Rates in requests per second, times in seconds."""

    service: str
    offered: float
    answered: int
    refused: int
    throughput: float
    p50: float
    p99: float
    batch: float


def main() -> None:
    options = arguments()
    requests = workload(options.candidates, options.seed)
    print(header(options))
    probes, rest = requests[: options.probe], requests[options.probe :]
    with ExitStack() as running:
        urls = {name: running.enter_context(service(options.model, name)) for name in LIMITS}
        capacities = {name: asyncio.run(sequential_capacity(url, probes)) for name, url in urls.items()}
        for name, capacity in capacities.items():
            print(f"- {name}: {capacity:.2f} requests/s to one client that waits for each answer")
        points = list(_measure_all(urls, rest, min(capacities.values()), options))
    print("\n" + table(points))


def _measure_all(
    urls: dict[str, str], requests: Sequence[Request], capacity: float, options: argparse.Namespace
) -> Iterator[Point]:
    """Both services at one rate, then at the next, so that what else the machine does disturbs them alike."""
    fresh = {name: iter(requests) for name in urls}
    for factor in FACTORS:
        for name, url in urls.items():
            yield asyncio.run(measure(url, name, fresh[name], factor * capacity, options))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="what to serve")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long requests arrive at each rate")
    parser.add_argument("--candidates", type=int, default=1, help="solutions of one problem in each request")
    parser.add_argument("--probe", type=int, default=20, help="requests that measure the capacity")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds after which a request counts as refused")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


@contextmanager
def service(model: str, name: str, **settings: object) -> Iterator[str]:
    """A service of its own process on a free port of the loopback interface; its URL."""
    environment = os.environ | {"STEPSCORE_MODELS": model, "STEPSCORE_MAX_BATCH_SOLUTIONS": LIMITS[name]}
    environment |= {"STEPSCORE_HOST": "127.0.0.1", "STEPSCORE_PORT": "0", "STEPSCORE_LOG_LEVEL": "warning"}
    environment |= {f"STEPSCORE_{key.upper()}": str(value) for key, value in settings.items()}
    with subprocess.Popen([sys.executable, "-c", RUN], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield url_of(process)
        finally:
            process.terminate()


def url_of(process: subprocess.Popen[str]) -> str:
    """Where the service answers, as soon as it is ready."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"docs +(http\S+)/docs", line):
            break
    else:
        raise SystemExit("the service did not start")
    for _ in range(500):
        try:
            httpx.get(f"{found[1]}/health/ready").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return found[1]
    raise SystemExit("the service did not become ready")


async def sequential_capacity(url: str, requests: Sequence[Request]) -> float:
    """Requests per second of one client that waits for each answer."""
    async with httpx.AsyncClient(base_url=url, timeout=None) as client:
        started = time.perf_counter()
        for request in requests:
            (await client.post("/score", json=request)).raise_for_status()
        return len(requests) / (time.perf_counter() - started)


async def measure(url: str, name: str, requests: Iterator[Request], rate: float, options: argparse.Namespace) -> Point:
    """Requests at exponential intervals for a while; then wait for what is still on its way."""
    arrivals = list(_arrivals(rate, options.seconds, options.seed))
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=options.timeout, limits=limits) as client:
        before = await _batches(client)
        started = time.perf_counter()
        calls = [
            asyncio.create_task(_call(client, request, started + arrival))
            for arrival, request in zip(arrivals, requests, strict=False)
        ]
        times = await asyncio.gather(*calls)
        elapsed = time.perf_counter() - started
        solutions, forwards = (after - first for after, first in zip(await _batches(client), before, strict=True))
    good = sorted(taken for taken in times if taken is not None)
    return Point(
        service=name,
        offered=rate,
        answered=len(good),
        refused=len(times) - len(good),
        throughput=len(good) / elapsed,
        p50=percentile(good, 0.50),
        p99=percentile(good, 0.99),
        batch=solutions / max(1.0, forwards),
    )


def _arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    source, now = random.Random(seed), 0.0
    while (now := now + source.expovariate(rate)) < seconds:
        yield now


async def _call(client: httpx.AsyncClient, request: Request, when: float) -> float | None:
    """Seconds from the planned arrival to the answer; None where there was no answer."""
    await asyncio.sleep(max(0.0, when - time.perf_counter()))
    try:
        answer = await client.post("/score", json=request)
    except httpx.TransportError:
        return None
    return time.perf_counter() - when if answer.is_success else None


async def _batches(client: httpx.AsyncClient) -> tuple[float, float]:
    """Solutions and forwards so far."""
    text = (await client.get("/metrics")).text
    return _sample(text, "sum"), _sample(text, "count")


def _sample(metrics: str, kind: str) -> float:
    """A missing metric is an error: a zero in its place would be a figure that nobody measured."""
    found = re.search(rf"^stepscore_batch_solutions_{kind}{{.*}} (\S+)$", metrics, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/metrics shows no stepscore_batch_solutions_{kind}")
    return float(found[1])


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed; NaN of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def header(options: argparse.Namespace) -> str:
    """What a reader needs to judge the numbers: when, on what, with what, how."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("stepscore", "torch", "fastapi", "uvicorn"))
    settings = ", ".join(f"{key}={value}" for key, value in os.environ.items() if key.startswith("STEPSCORE_"))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    lines = [
        f"# Service under load, {datetime.now(UTC):%Y-%m-%d}",
        f"- machine: {processor()}, {os.cpu_count()} cores, load {load} (it is shared with whatever else runs)",
        f"- software: Python {platform.python_version()}, {packages}",
        f"- model {options.model}; requests of {options.candidates} solution(s) from "
        f"{origin()}; {options.seconds:g} s of arrivals a rate",
        f"- settings: {settings or 'all by default'}",
        f"- command: python -m benchmarks.service {' '.join(sys.argv[1:])}",
    ]
    return "\n".join(lines)


def processor() -> str:
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return str(names[0]) if names else platform.machine()


def table(points: Sequence[Point]) -> str:
    head = "| service | offered req/s | answered | refused or late | req/s | p50 ms | p99 ms | solutions a forward |"
    rows = [
        f"| {p.service} | {p.offered:.2f} | {p.answered} | {p.refused} | {p.throughput:.2f} | {1e3 * p.p50:.0f} "
        f"| {1e3 * p.p99:.0f} | {p.batch:.2f} |"
        for p in points
    ]
    return "\n".join([head, "|" + "---|" * 8, *rows])


if __name__ == "__main__":
    main()
