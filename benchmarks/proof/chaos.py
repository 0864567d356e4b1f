"""Minutes of chaos, in which every answered request must hold the right score or an explicit error.

    python -m benchmarks.proof.chaos --minutes 10

While clients score, the service is killed and started again, its weights are exchanged, forwards run out of memory, and
other clients send slowly, send half a request and go, hold connections open, or send garbage. Every 200 is compared
with the offline scorer of the weights that its `revision` names, to 1e-5 in float32. A request whose connection broke,
as happens in a kill, has no answer: it is counted, and sent again. Nothing else may go unanswered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.proof.server import Service, header, tiny_checkpoints
from benchmarks.service_requests import Request, workload
from stepscore.config import EngineOptions
from stepscore.scoring.open import open_scorer
from stepscore.types import SolutionRequest
from stepscore_service.serving.scoring import resolve_options, score_offline

TOLERANCE = 1e-5
SOLUTIONS = 120
CLIENTS = 8
FLAKY = (sys.executable, "-m", "benchmarks.proof.flaky_service")
Expected = Mapping[tuple[str, int], Sequence[float]]


@dataclass(slots=True)
class Tally:
    """seen: what happened, by name. wrong: the first differences from the offline scorer."""

    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kill-seconds", type=float, default=20.0, help="between two kills, on average")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(header("Chaos", "benchmarks.proof.chaos"))
    with tempfile.TemporaryDirectory() as folder:
        first, second = tiny_checkpoints(Path(folder))
        items = [request["items"][0] for request in workload(1, options.seed)[:SOLUTIONS]]
        expected = offline([first, second], items)
        settings = {"models": f"prm={first}", "allow_reload": "true", "reload_folder": folder}
        limits = {"dtype": "float32", "head_seconds": "1", "body_seconds": "1", "max_connections": "64"}
        with Service(FLAKY, **settings, **limits) as service:
            tally = asyncio.run(rage(service, [first, second], items, expected, options))
    print("\n| what | times |\n|---|---|")
    for name, count in sorted(tally.seen.items()):
        print(f"| {name} | {count} |")
    print(f"\nwrong or missing: {len(tally.wrong)}", *tally.wrong[:10], sep="\n")
    raise SystemExit(bool(tally.wrong))


def offline(folders: Sequence[Path], items: Sequence[Request]) -> Expected:
    """The rewards of each item by each checkpoint, by (revision, item)."""
    expected = {}
    options = EngineOptions(device="cpu", dtype="float32", mode="reference")
    for folder in folders:
        scorer = open_scorer(str(folder), options=options)
        requests = [SolutionRequest(each["problem"], each["solution"], each["split"]) for each in items]
        for index, result in enumerate(score_offline(scorer, requests, resolve_options(scorer.info))):
            if not isinstance(result, Exception):
                expected[scorer.info.revision, index] = result.rewards
        scorer.close()
    return expected


async def rage(
    service: Service, folders: Sequence[Path], items: Sequence[Request], expected: Expected, options: argparse.Namespace
) -> Tally:
    tally, chance = Tally(), random.Random(options.seed)
    until = time.monotonic() + 60 * options.minutes
    actors: list[Callable[[], Awaitable[None]]] = [
        *(lambda: score_one(service, items, expected, tally, chance) for _ in range(CLIENTS)),
        lambda: kill(service, tally, chance, options.kill_seconds),
        lambda: swap(service, folders, tally, chance),
        *(lambda: abuse(service, tally, chance) for _ in range(4)),
    ]

    async def act(actor: Callable[[], Awaitable[None]]) -> None:
        while time.monotonic() < until:
            await actor()

    await asyncio.gather(*map(act, actors))
    return tally


async def score_one(
    service: Service, items: Sequence[Request], expected: Expected, tally: Tally, chance: random.Random
) -> None:
    chosen = [chance.randrange(len(items)) for _ in range(chance.choice((1, 1, 4, 16)))]
    timeout_ms = chance.choice((50, 500, 5000, 30_000))
    try:
        async with httpx.AsyncClient(timeout=timeout_ms / 1000 + 30) as http:
            answer = await http.post(
                f"{service.url}/score",
                json={"items": [items[index] for index in chosen]},
                headers={"X-Request-Timeout-Ms": str(timeout_ms)},
            )
    except httpx.ReadTimeout:
        tally.seen["no answer in time"] += 1
        tally.wrong.append("a request was neither answered nor refused")
        return
    except httpx.TransportError:
        tally.seen["connection broken"] += 1
        await asyncio.sleep(0.2)
        return
    if answer.status_code != 200:
        code = answer.json()["code"]
        tally.seen[f"{answer.status_code} {code}"] += 1
        if code == "internal":
            tally.wrong.append(f"a defect: {answer.text[:200]}")
        return
    tally.seen["200"] += 1
    for index, result in zip(chosen, answer.json()["results"], strict=True):
        compare(index, result, answer.json()["revision"], expected, tally)


def compare(index: int, result: Request, revision: str, expected: Expected, tally: Tally) -> None:
    if "error" in result:
        tally.seen[f"item error {result['error']['code']}"] += 1
        return
    tally.seen["scores compared"] += 1
    wanted, given = expected.get((revision, index), ()), result["rewards"]
    right = len(wanted) == len(given) and all(
        abs(mine - theirs) <= TOLERANCE for mine, theirs in zip(wanted, given, strict=True)
    )
    if not right:
        tally.wrong.append(f"item {index} under {revision}: {given} instead of {wanted}")


async def kill(service: Service, tally: Tally, chance: random.Random, seconds: float) -> None:
    await asyncio.sleep(chance.uniform(0.5, 1.5) * seconds)
    service.kill()
    tally.seen["killed and started again"] += 1
    await asyncio.to_thread(service.start)


async def swap(service: Service, folders: Sequence[Path], tally: Tally, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0.2, 2.0))
    try:
        async with httpx.AsyncClient(timeout=60) as http:
            path = str(chance.choice(folders))
            answer = await http.post(f"{service.url}/v1/models/prm/reload", json={"path": path})
        tally.seen[f"weights exchanged: {answer.status_code}"] += 1
    except httpx.TransportError:
        tally.seen["weights exchanged: connection broken"] += 1


async def abuse(service: Service, tally: Tally, chance: random.Random) -> None:
    """One client of a bad kind, bounded by the service's own time limits."""
    where = urlsplit(service.url)
    kind = chance.choice(("garbage", "half a request", "idle", "slow body", "huge announcement"))
    tally.seen[f"abuse: {kind}"] += 1
    try:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
    except OSError:
        await asyncio.sleep(0.2)
        return
    try:
        async with asyncio.timeout(10):
            writer.write(_bytes_of(kind, chance))
            await writer.drain()
            if kind == "half a request":
                return
            if kind == "slow body":
                for _ in range(5):
                    await asyncio.sleep(0.1)
                    writer.write(b" ")
            await reader.read()
    except (OSError, TimeoutError):
        tally.seen["abuse: connection broken"] += 1
    finally:
        writer.close()


def _bytes_of(kind: str, chance: random.Random) -> bytes:
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    body = json.dumps({"problem": "p", "steps": ["a"] * 50}).encode()
    return {
        "garbage": chance.randbytes(chance.randrange(1, 4000)),
        "half a request": head + b"%d\r\n\r\n" % len(body) + body[: chance.randrange(len(body))],
        "idle": b"",
        "slow body": head + b"100000\r\n\r\n{",
        "huge announcement": head + b"99000000000\r\n\r\n{",
    }[kind]


if __name__ == "__main__":
    main()
