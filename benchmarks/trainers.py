"""What a trainer's way of asking costs: single-sample posts beside one batched request; a rollout that is followed.

    python -m benchmarks.trainers --model embedded --texts 256 --rounds 2

`single`: so many concurrent POST /get_reward of one sample each, as OpenRLHF sends them. `batched`: one POST /score of
the same texts. They take turns on one service without a prefix cache, so that no text is answered from an earlier
round, and change their order from round to round, so that what else the machine does meets both.
The clock also sees the client and whatever else the machine does; the processor time of the service's process does not.
`follow`: one solution that grows by four characters at a time, on a service with its cache.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import httpx

from benchmarks.service import processor, service
from benchmarks.service_requests import Request, origin, workload
from stepscore_service.client import StepscoreClient

SECONDS = 3600.0
SYSTEM = "<|im_start|>system\nPlease reason step by step.<|im_end|>\n"
PIECE = 4
Send = Callable[[str, Sequence[Request]], Coroutine[Any, Any, float]]
"""Sends the items to the service of that address; seconds until the last answer."""


def main() -> None:
    options = arguments()
    found = (each for request in workload(1, options.seed) for each in request["items"])
    usable = (each for each in found if each["solution"].strip() and _characters(each) <= options.characters)
    items = [{**each, "split": "auto"} for each in itertools.islice(usable, options.texts)]
    print(header(options, len(items)))
    with service(options.model, "batched", kv_cache_bytes=0, max_queue_seconds=SECONDS) as url:
        print(compare(url, items, options.rounds))
    with service(options.model, "batched") as url:
        print(follow(url, items[: options.follow]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="what to serve")
    parser.add_argument("--texts", type=int, default=256, help="samples of one round")
    parser.add_argument("--characters", type=int, default=4000, help="of a problem and its solution at most")
    parser.add_argument("--rounds", type=int, default=2, help="how often each way is measured")
    parser.add_argument("--follow", type=int, default=8, help="solutions that are followed")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _characters(item: Request) -> int:
    return len(item["problem"]) + len(item["solution"])


def compare(url: str, items: Sequence[Request], rounds: int) -> str:
    """A table with samples per second of every round and the service's own processor time, and their ratios."""
    rows = [
        "| round | batched /score | single /get_reward | single / batched | CPU of the service | batched / single |"
    ]
    rows.append("|---|---|---|---|---|---|")
    rates, costs = [], []
    for round_ in range(rounds):
        ways = (send_batched, send_singly) if round_ % 2 == 0 else (send_singly, send_batched)
        found = {way: measure(url, way, items) for way in ways}
        batched, single = found[send_batched], found[send_singly]
        rates.append(batched.seconds / single.seconds)
        costs.append(batched.processor_seconds / single.processor_seconds)
        speeds = " | ".join(f"{len(items) / each.seconds:.2f}/s" for each in (batched, single))
        cost = f"{batched.processor_seconds:.1f} s and {single.processor_seconds:.1f} s"
        rows.append(f"| {round_ + 1} | {speeds} | {rates[-1]:.3f} | {cost} | {costs[-1]:.3f} |")
    medians = (
        f"Median ratios: {statistics.median(rates):.3f} by the clock, {statistics.median(costs):.3f} by processor time."
    )
    return "\n".join([*rows, "", medians, ""])


@dataclass(frozen=True, slots=True)
class Measured:
    """One way of asking, once: by the clock, and what it cost the service's process."""

    seconds: float
    processor_seconds: float


def measure(url: str, send: Send, items: Sequence[Request]) -> Measured:
    with httpx.Client(base_url=url) as http:
        before = spent(http)
        seconds = asyncio.run(send(url, items))
        return Measured(seconds, spent(http) - before)


def spent(http: httpx.Client) -> float:
    """Processor seconds of the service's process so far."""
    lines = http.get("/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith("process_cpu_seconds_total "))


async def send_batched(url: str, items: Sequence[Request]) -> float:
    """Seconds until the answer."""
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS) as client:
        started = time.perf_counter()
        (await client.post("/score", json={"items": list(items)})).raise_for_status()
        return time.perf_counter() - started


async def send_singly(url: str, items: Sequence[Request]) -> float:
    """Seconds until the last answer."""
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS, limits=httpx.Limits(max_connections=None)) as client:
        started = time.perf_counter()
        answers = await asyncio.gather(*(client.post("/get_reward", json=query(item)) for item in items))
        elapsed = time.perf_counter() - started
    for answer in answers:
        if not answer.is_success:
            raise SystemExit(f"{answer.status_code}: {answer.text[:300]}")
    return elapsed


def query(item: Request) -> dict[str, Any]:
    """The sample in the policy's chat template, as OpenRLHF sends it."""
    prompt = f"{SYSTEM}<|im_start|>user\n{item['problem']}<|im_end|>\n<|im_start|>assistant\n"
    return {"query": [f"{prompt}{item['solution']}<|im_end|>"], "prompts": [prompt], "labels": [""]}


def follow(url: str, items: Sequence[Request]) -> str:
    """The time of each step's reward, and the tokens computed over those of the whole solutions."""
    seconds, prompt_tokens = [], 0
    with StepscoreClient(url, timeout=SECONDS) as client, httpx.Client(base_url=url) as http:
        before = computed_tokens(http)
        for item in items:
            follower = client.follow(item["problem"], split="lines")
            solution = item["solution"]
            for start in range(0, len(solution), PIECE):
                asked = time.perf_counter()
                if follower.feed(solution[start : start + PIECE]):
                    seconds.append(time.perf_counter() - asked)
            asked = time.perf_counter()
            follower.finish()
            seconds.append(time.perf_counter() - asked)
        spent = computed_tokens(http) - before
        for item in items:
            prompt_tokens += client.score(item["problem"], solution=item["solution"], split="lines").token_count
    times = f"{len(seconds)} answers with new steps, {1e3 * statistics.median(seconds):.0f} ms each (median)"
    tokens = f"{spent:.0f} tokens computed for {prompt_tokens} ({spent / prompt_tokens:.3f})"
    return f"Followed: {len(items)} solutions, {times}; {tokens}."


def computed_tokens(http: httpx.Client) -> float:
    """Tokens that went through the model's layers so far."""
    lines = http.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("stepscore_tokens_computed_total{"))


def header(options: argparse.Namespace, texts: int) -> str:
    """What a reader needs to judge the numbers."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("stepscore", "torch", "fastapi", "uvicorn"))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    lines = [
        f"# Trainers' requests, {datetime.now(UTC):%Y-%m-%d}",
        f"- machine: {processor()}, {os.cpu_count()} cores, load {load} (it is shared with whatever else runs)",
        f"- software: Python {platform.python_version()}, {packages}",
        f"- model {options.model}; {texts} texts from {origin()}",
        f"- command: python -m benchmarks.trainers {' '.join(sys.argv[1:])}",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
