"""Open-loop load at 0.5, 0.9, 1.5 and 3 times the capacity: how much of it is answered within the caller's deadline.

    python -m benchmarks.proof.overload --seconds 20

Requests come at random (Poisson) whether or not earlier ones are answered, each with `X-Request-Timeout-Ms`. The
capacity is what a few clients get that wait for each answer. Goodput: answers within the deadline, per second. Every
request must get an answer: 200, or an explicit error.

`--model paced` serves a tiny model whose forwards sleep for `--pace` seconds a token: the queue and the admission are
what is measured, on a machine that others use too.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx

from benchmarks.proof.server import SERVE, Service, header, served_models
from benchmarks.service_requests import Request, workload

PLAIN = (sys.executable, "-c", SERVE)
PACED = (sys.executable, "-m", "benchmarks.proof.flaky_service")
FACTORS = (0.5, 0.9, 1.5, 3.0)
CLIENTS = 16
"""Closed-loop clients that measure the capacity."""
GRACE_SECONDS = 10.0
"""After its deadline a request that has no answer counts as unanswered."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """status: of the answer; 0 if none came. seconds: from the planned arrival."""

    status: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long requests arrive at each rate")
    parser.add_argument("--deadline", type=float, default=2.0, help="seconds that a caller waits")
    parser.add_argument("--candidates", type=int, default=1, help="solutions of one request")
    parser.add_argument("--pace", type=float, default=0.0002, help="seconds that a token takes in the paced model")
    options = parser.parse_args()
    print(header("Open-loop load", "benchmarks.proof.overload"))
    requests = iter(itertools.cycle(workload(options.candidates, seed=0)))
    paced = options.model == "paced"
    os.environ |= {"PROOF_OOM_SHARE": "0", "PROOF_SECONDS_PER_TOKEN": str(options.pace if paced else 0)}
    settings = {"dtype": "float32"} if paced else {"dtype": "float32", "kv_cache_bytes": "0"}
    command = PACED if paced else PLAIN
    with (
        served_models("tiny" if paced else options.model) as model,
        Service(command, models=model, **settings) as service,
    ):
        capacity = asyncio.run(closed_loop(service.url, requests, options.seconds / 2))
        print(f"- model {options.model}, {settings}; {CLIENTS} clients get {capacity:.2f} requests/s")
        print(f"- {options.seconds:g} s of arrivals at each rate; deadline {options.deadline:g} s\n")
        print("| load | requests | 200 in time | goodput /s | p50 s | p99 s of 200 | 503 | 504 | unanswered |")
        print("|" + "---|" * 9)
        for factor in FACTORS:
            outcomes = asyncio.run(open_loop(service.url, requests, factor * capacity, options))
            print(row(factor, outcomes, options), flush=True)


async def closed_loop(url: str, requests: Iterator[Request], seconds: float) -> float:
    """Requests per second of clients that wait for each answer."""
    until = time.perf_counter() + seconds
    done = 0

    async def client(http: httpx.AsyncClient) -> None:
        nonlocal done
        while time.perf_counter() < until:
            (await http.post("/score", json=next(requests))).raise_for_status()
            done += 1

    async with httpx.AsyncClient(base_url=url, timeout=None) as http:
        began = time.perf_counter()
        await asyncio.gather(*(client(http) for _ in range(CLIENTS)))
        return done / (time.perf_counter() - began)


async def open_loop(
    url: str, requests: Iterator[Request], rate: float, options: argparse.Namespace
) -> Sequence[Outcome]:
    source, arrivals, now = random.Random(1), list[float](), 0.0
    while (now := now + source.expovariate(rate)) < options.seconds:
        arrivals.append(now)
    headers = {"X-Request-Timeout-Ms": str(round(1000 * options.deadline))}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=url, timeout=options.deadline + GRACE_SECONDS, limits=limits, headers=headers
    ) as http:
        began = time.perf_counter()
        return await asyncio.gather(*(_call(http, next(requests), began + arrival) for arrival in arrivals))


async def _call(http: httpx.AsyncClient, request: Request, when: float) -> Outcome:
    await asyncio.sleep(max(0.0, when - time.perf_counter()))
    try:
        status = (await http.post("/score", json=request)).status_code
    except httpx.TransportError:
        status = 0
    return Outcome(status, time.perf_counter() - when)


def row(factor: float, outcomes: Sequence[Outcome], options: argparse.Namespace) -> str:
    statuses = Counter(each.status for each in outcomes)
    good = sorted(each.seconds for each in outcomes if each.status == 200)
    in_time = sum(seconds <= options.deadline for seconds in good)
    return (
        f"| {factor:g} | {len(outcomes)} | {in_time} | {in_time / options.seconds:.2f} | {_percentile(good, 0.5):.2f} "
        f"| {_percentile(good, 0.99):.2f} | {statuses[503]} | {statuses[504]} | {statuses[0]} |"
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


if __name__ == "__main__":
    main()
