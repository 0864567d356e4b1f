"""Many requests, flat memory.

    python -m benchmarks.proof.soak --requests 100000

Prints the resident memory of the process ten times. Flat: the mean of the last three is not more than 5% above the mean
of the three before the middle.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator

import httpx

from benchmarks.proof.server import Service, header, served_models
from benchmarks.service_requests import Request, workload

SAMPLES = 10
CLIENTS = 16
TOLERATED = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3600.0, help="the run ends after this time at the latest")
    parser.add_argument(
        "--kv-cache-bytes",
        default="-1",
        help="of the prefix cache; a small one is full, and evicts, for most of the run",
    )
    options = parser.parse_args()
    print(header("Soak", "benchmarks.proof.soak"))
    settings = {"dtype": "float32", "kv_cache_bytes": options.kv_cache_bytes}
    with served_models(options.model) as model, Service(models=model, **settings) as service:
        began = time.monotonic()
        sizes = asyncio.run(soak(service, options))
        print(f"\n{time.monotonic() - began:.0f} s")
    before, after = sum(sizes[2:5]) / 3, sum(sizes[-3:]) / 3
    print(f"mean of samples 3 to 5: {before:.0f} MiB, of the last three: {after:.0f} MiB")
    raise SystemExit(after > TOLERATED * before)


async def soak(service: Service, options: argparse.Namespace) -> list[float]:
    """Resident memory in MiB after each tenth of the requests."""
    requests, statuses, sizes = itertools.cycle(workload(1, seed=0)), Counter[int](), list[float]()
    until = time.monotonic() + options.seconds
    print("\n| requests | resident MiB | cached tokens | statuses |\n|---|---|---|---|")
    async with httpx.AsyncClient(base_url=service.url, timeout=None) as http:
        for _ in range(SAMPLES):
            left = iter(range(options.requests // SAMPLES))
            await asyncio.gather(*(_client(http, left, requests, statuses, until) for _ in range(CLIENTS)))
            sizes.append(service.metric("process_resident_memory_bytes") / (1 << 20))
            kept = service.metric("stepscore_kv_tokens")
            print(f"| {statuses.total()} | {sizes[-1]:.0f} | {kept:.0f} | {dict(statuses)} |", flush=True)
    return sizes


async def _client(
    http: httpx.AsyncClient, left: Iterator[int], requests: Iterator[Request], statuses: Counter[int], until: float
) -> None:
    for _ in left:
        if time.monotonic() > until:
            return
        statuses[(await http.post("/score", json=next(requests))).status_code] += 1


if __name__ == "__main__":
    main()
