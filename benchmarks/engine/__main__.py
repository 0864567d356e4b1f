"""Compare the engine with what others do, in one run: python -m benchmarks.engine

Every way runs the same sequences over the same weights, one after the other, and is checked against the plain fp32
loop. On a CPU time is processor time, so that other work on the machine changes ratios little. With --out a run that
was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import CalledProcessError

import torch

from benchmarks.engine.in_vllm import WAY as VLLM
from benchmarks.engine.in_vllm import measure_in_vllm
from benchmarks.engine.measure import Measured, matmul_peak
from benchmarks.engine.real import missing, real_workloads, tokeniser
from benchmarks.engine.rows import RowFile
from benchmarks.engine.run import Bench, every, say
from benchmarks.engine.search_and_learn import refusal
from benchmarks.engine.subjects import EMBEDDED, SHAPES, Subject, prepare
from benchmarks.engine.table import heading, table
from benchmarks.engine.ways import Ways
from benchmarks.engine.workloads import RandomSource, Sizes, Workload, with_targets, workloads
from stepscore.config import Device, DType
from stepscore.placement import choose_dtype

ON_CPU, ON_CUDA = (EMBEDDED, "135M", "0.5B"), ("7B",)
NOT_MEASURED = "\n7B shape on a GPU: not measured (PyTorch finds no CUDA device here).\n"
QUICK = Sizes(count=8, rounds=2, nodes=10)


def main() -> int:
    arguments = parsed()
    if arguments.device == "cpu":
        torch.set_num_threads(arguments.threads)
    for line in left_out(arguments):
        say(line)
    try:
        for shape in arguments.shapes:
            report(measured_table(shape, arguments), arguments.out)
    except KeyboardInterrupt:
        say("stopped; the same command goes on after the last whole workload" if arguments.out else "stopped")
        return 130
    except CalledProcessError:
        say("vLLM failed, for the reason above; --vllm-python none leaves it out")
        return 1
    if arguments.device == "cpu":
        report(NOT_MEASURED, arguments.out)
    if arguments.out:
        rows_beside(arguments.out).unlink(missing_ok=True)
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=[EMBEDDED, *SHAPES], help="default: all that suit the device")
    parser.add_argument("--quick", action="store_true", help="a tiny shape and few sequences: does it run?")
    parser.add_argument("--count", type=int, default=64, help="singles, and candidates of the rerank")
    parser.add_argument("--rounds", type=int, default=10, help="of the beam search, 16 sequences each")
    parser.add_argument("--nodes", type=int, default=200, help="of the tree search")
    parser.add_argument("--sample", type=int, default=10_000, help="tokens of a workload that peers run; 0 for all")
    parser.add_argument("--workloads", nargs="+", default=[""], help="only those whose name starts so")
    parser.add_argument("--ways", nargs="+", default=[], help="only those whose name starts so")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--compile", default="auto", choices=["auto", "on", "off"], help="the engine's layers")
    parser.add_argument("--threads", type=int, default=1, help="more than one lets processor time count waiting")
    parser.add_argument("--data", type=Path, help="folder with gsm8k/ and processbench/, for workloads of real text")
    parser.add_argument("--vllm-python", type=Path, default=Path(".venv-vllm/bin/python"), help="where vLLM lives")
    parser.add_argument("--search-and-learn", type=Path, help="a checkout of huggingface/search-and-learn")
    parser.add_argument("--out", type=Path, help="also append the tables to this file")
    arguments = parser.parse_args()
    arguments.sizes = QUICK if arguments.quick else Sizes(arguments.count, arguments.rounds, arguments.nodes)
    defaults = ["tiny"] if arguments.quick else ON_CUDA if arguments.device == "cuda" else ON_CPU
    arguments.shapes = arguments.shapes or list(defaults)
    arguments.dtype = str(choose_dtype(arguments.dtype, torch.device(arguments.device))).removeprefix("torch.")
    return arguments


def left_out(arguments: argparse.Namespace) -> Iterator[str]:
    """A line for each peer and each kind of workload that this run cannot measure."""
    if not arguments.vllm_python.exists():
        yield f"no vLLM: there is no {arguments.vllm_python}; `make test-vllm` makes that environment"
    if why := refusal(arguments.search_and_learn):
        yield f"no search-and-learn: {why}"
    if why := "--data names no folder" if arguments.data is None else missing(arguments.data):
        yield f"no real text: {why}"


def measured_table(shape: str, arguments: argparse.Namespace) -> str:
    device: Device = arguments.device
    dtype: DType = arguments.dtype
    with tempfile.TemporaryDirectory() as folder:
        say(f"{shape}: preparing")
        subject = prepare(shape, Path(folder), device)
        work = [each for each in workloads_of(subject, arguments) if each.name.startswith(tuple(arguments.workloads))]
        kept = rows_of(subject, arguments, Path(folder))
        to_do = [each for each in work if each.name not in kept.done]
        version, in_vllm = vllm_of(subject, to_do, arguments, Path(folder))
        peak = matmul_peak(getattr(torch, dtype), device)
        ways = Ways(subject, device, dtype, arguments.search_and_learn, arguments.ways, compile=arguments.compile)
        for workload in to_do:
            kept.append(workload.name, list(Bench(ways, peak, arguments.sample, in_vllm).rows(workload)))
    rows = [row for workload in work for row in kept.done[workload.name]]
    seconds = "CPU s" if device == "cpu" else "s"
    return f"\n{heading(shape, dtype, device, peak, version)}\n{table(rows, seconds)}\n"


def workloads_of(subject: Subject, arguments: argparse.Namespace) -> Iterator[Workload]:
    source = RandomSource(subject.marker + 1)
    found = list(workloads(source, subject.marker, arguments.sizes))
    if arguments.data is not None and not missing(arguments.data) and subject.name != "tiny":
        found += real_workloads(arguments.data, tokeniser(subject.marker), subject.marker, arguments.sizes)
    yield from map(with_targets, found) if subject.reads_targets else found


def rows_of(subject: Subject, arguments: argparse.Namespace, folder: Path) -> RowFile:
    """Rows of an earlier run of the same settings, and those to come."""
    names = ("dtype", "device", "threads", "sample", "ways", "compile")
    settings = {name: getattr(arguments, name) for name in names} | {"shape": subject.name}
    kept = RowFile(rows_beside(arguments.out) if arguments.out else folder / "rows.jsonl", settings)
    if kept.done:
        say(f"{subject.name}: going on after {len(kept.done)} workloads of a run that was stopped")
    return kept


def rows_beside(out: Path) -> Path:
    return out.with_name(out.name + ".rows.jsonl")


def vllm_of(
    subject: Subject, work: list[Workload], arguments: argparse.Namespace, folder: Path
) -> tuple[str, dict[str, Measured]]:
    """vLLM's version and numbers; nothing where it is absent or not asked for."""
    wanted = not arguments.ways or VLLM.startswith(tuple(arguments.ways))
    if not (work and wanted and arguments.vllm_python.exists()):
        return "", {}
    calls = {each.name: (each, every(each, arguments.sample)) for each in work}
    return measure_in_vllm(arguments.vllm_python, subject, calls, arguments.dtype, arguments.device, folder)


def report(text: str, out: Path | None) -> None:
    print(text, flush=True)
    if out:
        with out.open("a", encoding="utf-8") as stream:
            stream.write(text)


if __name__ == "__main__":
    sys.exit(main())
