"""The first minutes on a GPU: python -m benchmarks.gpu_first [--out FILE] [--only PHASE ...] [--tiny]

What can be known of the CUDA path without a GPU is checked by tests; this measures the rest, in at most 10 minutes: the
card's ceilings, what its attention kernel really does, the decoder's kinds of forwards and their distance from fp32,
CUDA graphs, the whole engine against the model card's loop, and fp8. Every phase has its own limit, checked between its
measurements, and its results are added to the file before the next one begins. The exit code is 1 if a phase failed.
--tiny runs every phase on a CPU with small sizes, to show that it runs; --deep --only exactness measures on a CPU how
rounding adds up over all layers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from benchmarks.gpu_first.bench import DEEP, TINY, Bench, OverTime, Results, Sizes
from benchmarks.gpu_first.engine import engine
from benchmarks.gpu_first.forwards import exactness, forwards, graph, profile, quantized
from benchmarks.gpu_first.kernels import attention, ceilings, fp8, invariance, products
from stepscore.engine.torch.failures import lost_device
from stepscore.engine.torch.memory import give_back

Phase = Callable[[Bench], Iterator[Results]]
PHASES: dict[str, tuple[Phase, int]] = {
    "ceilings": (ceilings, 30),
    "products": (products, 40),
    "attention": (attention, 30),
    "forwards": (forwards, 90),
    "exactness": (exactness, 60),
    "graph": (graph, 60),
    "engine": (engine, 120),
    "profile": (profile, 40),
    "invariance": (invariance, 20),
    "fp8": (fp8, 50),
    "quantized": (quantized, 50),
}
"""What is measured, in this order, with the seconds that each may take: 590 in all."""

SLOWER = 10
"""Times as long as on a GPU: what --deep may take."""

INTERRUPTED = 130


class Record:
    """Prints each result, and adds it to a file. A disk that is full costs the file only. failed: phases that did.

    Raises OSError if the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        path.open("a", encoding="utf-8").close()
        self._path: Path | None = path
        self.failed: list[str] = []

    def write(self, found: Results) -> None:
        if "failed" in found:
            self.failed.append(found["phase"])
        line = json.dumps(found)
        print(line, flush=True)
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            self._path = None
            print(f"from here on, results are printed only: {error}", file=sys.stderr)


@torch.inference_mode()
def run_phase(bench: Bench, name: str, measure: Phase, limit: int, write: Callable[[Results], None]) -> bool:
    """A phase that fails or takes too long leaves what it has measured, and the reason. False if the device is lost."""
    start = time.monotonic()
    bench.deadline = start + limit
    alive = True
    try:
        for found in measure(bench):
            write({"phase": name, **found})
    except OverTime:
        write({"phase": name, "stopped": f"after {limit} s"})
    except Exception as error:  # a kernel that this card lacks must not cost the phases that follow
        traceback.print_exc()
        alive = not lost_device(error)
        write({"phase": name, "failed": f"{type(error).__name__}: {error}"[:400]})
    write({"phase": name, "seconds": round(time.monotonic() - start, 1)})
    if alive:
        give_back()
    return alive


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.gpu_first", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu_first.jsonl"), help="a line for each result, as it comes")
    parser.add_argument("--only", nargs="+", choices=list(PHASES), default=list(PHASES))
    small = parser.add_mutually_exclusive_group()
    small.add_argument("--tiny", action="store_true", help="small sizes on a CPU")
    small.add_argument(
        "--deep", action="store_true", help="all layers, a quarter as wide, on a CPU; for --only exactness"
    )
    parsed = parser.parse_args(arguments)
    on_cpu = parsed.tiny or parsed.deep
    if not (on_cpu or torch.cuda.is_available()):
        print("no CUDA device; --tiny runs every phase on a CPU", file=sys.stderr)
        return 1
    if on_cpu:
        from benchmarks import flash_on_cpu  # noqa: F401 - gives the CPU the operator of flash attention
    sizes = TINY if parsed.tiny else DEEP if parsed.deep else Sizes()
    bench = Bench(sizes, torch.device("cpu" if on_cpu else "cuda"))
    try:
        record = Record(parsed.out)
    except OSError as error:
        print(f"results cannot be written: {error}; name another file with --out", file=sys.stderr)
        return 1
    try:
        return run(bench, {name: PHASES[name] for name in parsed.only}, record, SLOWER if parsed.deep else 1)
    except KeyboardInterrupt:
        print(f"interrupted; what was measured is in {parsed.out}, the rest can be run with --only", file=sys.stderr)
        return INTERRUPTED


def run(bench: Bench, phases: Mapping[str, tuple[Phase, int]], record: Record, slower: int) -> int:
    """The phases with their limits, in order; the exit code."""
    for name, (measure, limit) in phases.items():
        if not run_phase(bench, name, measure, slower * limit, record.write):
            print("the device failed for good, so that no later phase was run", file=sys.stderr)
            break
    if record.failed:
        print(f"failed: {', '.join(record.failed)}", file=sys.stderr)
    return int(bool(record.failed))


if __name__ == "__main__":
    sys.exit(main())
