"""The service beside vLLM's own HTTP server: the same checkpoint, and the same bodies to POST /pooling.

    python -m benchmarks.service_vllm --vllm-python .venv-vllm/bin/python --shape 135M --dtype bfloat16

Both servers run at the same time; only one has work. Each workload is sent to one and then to the other, round after
round, so that what else the machine does disturbs both alike. No text is sent twice to one server. Seconds are those of
the client; CPU seconds are those of all processes of a server, from the first request to the last answer. Mixed traffic
arrives at a rate, whether or not earlier requests are answered: below a server's capacity solutions/s repeat that rate.
Rewards are compared text by text.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
from transformers import AutoTokenizer

from benchmarks.engine.subjects import SHAPES, write_checkpoint
from benchmarks.engine.table import command
from benchmarks.service import RUN, percentile, processor, url_of
from benchmarks.service_requests import GSM8K
from stepscore.embedded.prepare import prepare_base
from stepscore.embedded.sources import CODER_05B
from stepscore.families.qwen_math import MARKER, SYSTEM

LONGEST = 2048
CONTINUE, BEAMS, ROUNDS = 4, 4, 10


class Texts:
    """Problems of GSM8K, with solutions made of lines that real models wrote for them, in Qwen2.5-Math-PRM's chat."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        rows = [json.loads(line) for line in GSM8K.read_text(encoding="utf-8").splitlines()]
        self._chance.shuffle(rows)
        self._problems = cycle(rows)

    def _problem(self) -> tuple[str, list[str]]:
        """A problem, and the lines of all its solutions."""
        row = next(self._problems)
        written = [each["solution"] for each in row.values() if isinstance(each, dict)]
        return row["question"], [line for solution in written for line in solution.splitlines() if line.strip()]

    def text(self, problem: str, steps: Sequence[str]) -> str:
        answer = "".join(f"{step}{MARKER}" for step in steps)
        turns = (("system", SYSTEM), ("user", problem), ("assistant", answer))
        return "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)

    def candidates(self, count: int) -> list[str]:
        """Solutions of three to seven lines. They share the problem, and nothing of their own."""
        problem, lines = self._problem()
        return [
            self.text(problem, [self._line(lines) for _ in range(self._chance.randint(3, 7))]) for _ in range(count)
        ]

    def beam(self, rounds: int) -> Iterator[list[str]]:
        """Sixteen texts a round, each a step longer; four of them go on."""
        problem, lines = self._problem()
        beams: list[list[str]] = [[]]
        for _ in range(rounds):
            beams = [[*each, self._line(lines)] for each in beams for _ in range(BEAMS * CONTINUE // len(beams))]
            yield [self.text(problem, steps) for steps in beams]
            beams = self._chance.sample(beams, BEAMS)

    def _line(self, lines: list[str]) -> str:
        """One of the lines, with a number that makes it another one."""
        return f"{self._chance.choice(lines or ['So it is'])} ({self._chance.randint(1, 99_999)})"


@dataclass
class Server:
    """Where requests go; pid leads a session of its own."""

    name: str
    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Of all processes of its session."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            ticks += int(fields[11]) + int(fields[12]) if int(fields[3]) == self.pid else 0
        return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Client:
    """Who sends requests one after the other. arrival: seconds after the start; kind: what its requests are."""

    kind: str
    requests: list[list[str]]
    arrival: float = 0.0


@dataclass
class Measured:
    """Of one workload at one server: seconds of each request by kind, what they were about, and rewards by text."""

    latencies: dict[str, list[float]] = field(default_factory=dict)
    solutions: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    rewards: dict[str, list[float]] = field(default_factory=dict)

    @property
    def times(self) -> list[float]:
        """Seconds of all requests, the shortest first."""
        return sorted(seconds for of_kind in self.latencies.values() for seconds in of_kind)


async def send(client: httpx.AsyncClient, texts: list[str], kind: str, measured: Measured) -> None:
    """One request. Raises HTTPStatusError if the server refuses it."""
    started = time.perf_counter()
    body = {"input": texts, "task": "token_classify", "encoding_format": "float"}
    answer = (await client.post("/pooling", json=body)).raise_for_status().json()
    measured.latencies.setdefault(kind, []).append(time.perf_counter() - started)
    measured.solutions += len(texts)
    measured.tokens += answer["usage"]["prompt_tokens"]
    rows = sorted(answer["data"], key=lambda row: int(row["index"]))
    measured.rewards |= {text: [pair[1] for pair in row["data"]] for text, row in zip(texts, rows, strict=True)}


def reranks(texts: Texts, count: int) -> list[Client]:
    return [Client("reranks of 64", [texts.candidates(64) for _ in range(count)])]


def beams(texts: Texts, count: int) -> list[Client]:
    return [Client("beam steps", [call for _ in range(count) for call in texts.beam(ROUNDS)])]


KINDS: dict[str, tuple[int, Callable[[Texts], list[list[str]]]]] = {
    "singles": (6, lambda texts: [texts.candidates(1)]),
    "reranks of 16": (2, lambda texts: [texts.candidates(16)]),
    "beam steps": (2, lambda texts: list(texts.beam(3))),
}
"""The mixed traffic: how many of ten clients there are of a kind, and the requests of one."""


def mixed(texts: Texts, count: int, rate: float) -> list[Client]:
    """Clients at random times (Poisson), in random order; `rate` of them a second."""
    chance, now, made = random.Random(count), 0.0, []
    kinds = [kind for kind, (share, _) in KINDS.items() for _ in range(share * count // 10)]
    chance.shuffle(kinds)
    for kind in kinds:
        now += chance.expovariate(rate)
        made.append(Client(kind, KINDS[kind][1](texts), now))
    return made


async def run(server: Server, clients: list[Client], patience: float) -> Measured:
    """patience: seconds for one answer."""
    measured = Measured()
    async with httpx.AsyncClient(base_url=server.url, timeout=patience) as connections:

        async def one(client: Client) -> None:
            await asyncio.sleep(client.arrival)
            for texts in client.requests:
                await send(connections, texts, client.kind, measured)

        cpu, started = server.cpu_seconds(), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(one(client))
        measured.seconds = time.perf_counter() - started
        measured.cpu = server.cpu_seconds() - cpu
    return measured


def write(folder: Path, shape: str) -> Any:
    """The checkpoint, with random weights and a real tokenizer; returns the tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(prepare_base(CODER_05B.name))
    tokenizer.add_special_tokens({"additional_special_tokens": [MARKER]})
    write_checkpoint(folder, {**SHAPES[shape], "vocab_size": max(151_936, len(tokenizer))})
    tokenizer.save_pretrained(folder)
    return tokenizer


@contextmanager
def stepscore_server(folder: Path, dtype: str) -> Iterator[Server]:
    """On one thread; all else by default."""
    settings = {"models": folder, "host": "127.0.0.1", "port": 0, "log_level": "warning", "threads": 1}
    settings |= {"dtype": dtype, "max_tokens": LONGEST, "device": "cpu"}
    environment = os.environ | {f"STEPSCORE_{name}".upper(): str(value) for name, value in settings.items()}
    command = [sys.executable, "-c", RUN]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield Server("stepscore", url_of(process), process.pid)
        finally:
            process.terminate()


@contextmanager
def vllm_server(python: Path, folder: Path, dtype: str, marker: int, eager: bool) -> Iterator[Server]:
    """vLLM's own server, as its documentation starts it for such a model, on one thread.

    eager: without torch.compile, which it uses by default.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pooler = json.dumps({"tok_pooling_type": "STEP", "step_tag_id": marker})
    flags = {"host": "127.0.0.1", "port": port, "model": folder, "dtype": dtype, "runner": "pooling"}
    flags |= {"pooler-config": pooler, "max-model-len": LONGEST}
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--disable-uvicorn-access-log"]
    command += [f"--{name}={value}" for name, value in flags.items()] + ["--enforce-eager"] * eager
    openmp = python.parent.parent / "lib/libiomp5.so"
    environment = os.environ | {
        "LD_PRELOAD": str(openmp.resolve()) if openmp.exists() else "",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "HF_HUB_OFFLINE": "1",
    }
    environment.pop("PYTHONPATH", None)
    with subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process)
            yield Server("vLLM", f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(900):
        if process.poll() is not None:
            raise SystemExit("vLLM's server ended before it was ready")
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass  # not listening yet
        time.sleep(1)
    raise SystemExit("vLLM's server did not become ready")


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        tokenizer = write(Path(folder), options.shape)
        marker = tokenizer.convert_tokens_to_ids(MARKER)
        ours = running.enter_context(stepscore_server(Path(folder), options.dtype))
        theirs = running.enter_context(
            vllm_server(options.vllm_python, Path(folder), options.dtype, marker, options.eager)
        )
        print(header(options), flush=True)
        for row in measure(options, [ours, theirs]):
            print(row, flush=True)


HEAD = "| workload | round | server | requests | solutions | prompt tokens | solutions/s | p50 ms | p99 ms | CPU s |"
HEAD_OF_KINDS = (
    "| mixed traffic | requests | stepscore p50 ms | p99 ms | vLLM p50 ms | p99 ms | p50 ratio | p99 ratio |"
)
HEAD_OF_REWARDS = "| rewards | compared | median difference | 99% below | largest |"


def measure(options: argparse.Namespace, servers: list[Server]) -> Iterator[str]:
    """The table's rows with the ratios of each workload, then latencies by kind, then the differences of rewards."""
    texts = Texts(options.seed)
    for server in servers:
        asyncio.run(run(server, reranks(texts, 1), options.timeout))
    yield HEAD + "\n|" + "---|" * 10
    whole: dict[str, list[Measured]] = {}
    for name, make in workloads(texts, options).items():
        found: dict[str, list[Measured]] = {server.name: [] for server in servers}
        for number in range(options.rounds):
            clients = make()
            for server in servers if number % 2 == 0 else servers[::-1]:
                found[server.name].append(asyncio.run(run(server, clients, options.timeout)))
                yield _row(name, str(number + 1), server.name, found[server.name][-1])
        whole[name] = [joined(each) for each in found.values()]
        yield ratios(name, *whole[name])
    if options.rates:
        yield from ["", HEAD_OF_KINDS, "|" + "---|" * 8]
    for name, pair in whole.items():
        yield from by_kind(name, *pair) if name.startswith("mixed") else ()
    yield from ["", HEAD_OF_REWARDS, "|" + "---|" * 5]
    for name, pair in whole.items():
        yield rewards_row(f"{name}, {options.dtype} at both", differences(*pair))


def workloads(texts: Texts, options: argparse.Namespace) -> dict[str, Callable[[], list[Client]]]:
    """What makes one round of each."""
    found: dict[str, Callable[[], list[Client]]] = {
        "rerank of 64": lambda: reranks(texts, options.reranks),
        f"beam 4x4x{ROUNDS}": lambda: beams(texts, options.beams),
    }
    for rate in options.rates:
        found[f"mixed, {rate:g} clients/s"] = partial(mixed, texts, options.clients, rate)
    return found


def joined(parts: Sequence[Measured]) -> Measured:
    whole = Measured()
    for part in parts:
        for kind, seconds in part.latencies.items():
            whole.latencies.setdefault(kind, []).extend(seconds)
        whole.rewards |= part.rewards
        whole.solutions += part.solutions
        whole.tokens += part.tokens
        whole.seconds += part.seconds
        whole.cpu += part.cpu
    return whole


def _row(workload: str, number: str, server: str, measured: Measured) -> str:
    times = measured.times
    middle, late = (f"{1e3 * percentile(times, share):,.0f}" for share in (0.5, 0.99))
    cells = [workload, number, server, len(times), measured.solutions, f"{measured.tokens:,}"]
    cells += [f"{measured.solutions / measured.seconds:.2f}", middle, late, f"{measured.cpu:.1f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def ratios(workload: str, ours: Measured, theirs: Measured) -> str:
    """How many times ours the other's figures are; throughput the other way round."""
    rate = (ours.solutions / ours.seconds) / (theirs.solutions / theirs.seconds)
    middle, late = (percentile(theirs.times, share) / percentile(ours.times, share) for share in (0.5, 0.99))
    return (
        f"| {workload} | all | **ratio** | - | - | - | {rate:.2f} | {middle:.2f} | {late:.2f} "
        f"| {theirs.cpu / ours.cpu:.2f} |"
    )


def by_kind(workload: str, ours: Measured, theirs: Measured) -> Iterator[str]:
    """A row for each kind of request, of all rounds."""
    for kind, seconds in sorted(ours.latencies.items()):
        mine, other = sorted(seconds), sorted(theirs.latencies[kind])
        found = [percentile(each, share) for each in (mine, other) for share in (0.5, 0.99)]
        cells = [f"{workload}: {kind}", str(len(mine)), *(f"{1e3 * each:,.0f}" for each in found)]
        cells += [f"{found[2] / found[0]:.2f}", f"{found[3] / found[1]:.2f}"]
        yield "| " + " | ".join(cells) + " |"


def differences(ours: Measured, theirs: Measured) -> list[float]:
    """Of each reward, the smallest first. Raises ValueError if one server gave a text other steps."""
    return sorted(
        abs(one - other)
        for text, rewards in ours.rewards.items()
        for one, other in zip(rewards, theirs.rewards[text], strict=True)
    )


def rewards_row(name: str, found: Sequence[float]) -> str:
    cells = [f"{percentile(found, share):.1e}" for share in (0.5, 0.99, 1.0)]
    return f"| {name} | {len(found):,} | " + " | ".join(cells) + " |"


def header(options: argparse.Namespace) -> str:
    found = subprocess.run(
        [options.vllm_python, "-c", "from importlib.metadata import version as v; print(v('vllm-cpu'), v('torch'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    theirs, torch_of_theirs = found.stdout.split()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    layers = "not compiled" if options.eager else "compiled"
    return "\n".join(
        [
            f"## {options.shape}, {options.dtype}",
            "",
            f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {processor()}, {os.cpu_count()} cores, load average {load}",
            f"- stepscore {version('stepscore')} with torch {version('torch')}; vllm-cpu {theirs} with torch "
            f"{torch_of_theirs}, {layers}; one thread of forwards each",
            f"- command: `python -m benchmarks.service_vllm {command(sys.argv[1:])}`",
            "",
        ]
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm-python", type=Path, required=True, help="where vLLM lives")
    parser.add_argument("--shape", choices=[name for name in SHAPES if name != "tiny"], default="135M")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--rounds", type=int, default=2, help="how often each workload is sent to each server")
    parser.add_argument("--reranks", type=int, default=2, help="requests of 64 candidates a round")
    parser.add_argument("--beams", type=int, default=1, help="beam searches a round")
    parser.add_argument("--clients", type=int, default=20, help="of the mixed traffic, a round; a multiple of 10")
    parser.add_argument("--rates", type=float, nargs="*", default=[0.5], help="clients a second of mixed traffic")
    parser.add_argument("--eager", action="store_true", help="vLLM does not compile its layers (it does by default)")
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args()
    if not parsed.vllm_python.is_file():
        parser.error(f"--vllm-python {parsed.vllm_python} is not a file; name the Python of an environment with vLLM")
    return parsed


if __name__ == "__main__":
    main()
