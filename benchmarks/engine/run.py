"""One subject through its workloads: every way in turn, each against the plain fp32 loop."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.engine.in_vllm import WAY as VLLM
from benchmarks.engine.measure import (
    REPEATS,
    Found,
    Measured,
    clock_of,
    largest_difference,
    last_layer_flops,
    linear_flops,
    run,
    warming,
)
from benchmarks.engine.rows import Row
from benchmarks.engine.ways import ENGINE, KEEPS, LOOP, Ways
from benchmarks.engine.workloads import Workload
from stepscore.engine.torch.architecture import read_architecture
from stepscore.errors import UnsupportedByEngine


@dataclass(frozen=True, slots=True)
class Bench:
    """peak: FLOP a second of a plain product. sample: tokens of a workload that whoever keeps nothing between its
    calls runs at least; the rest of its calls is scaled. in_vllm: what the child has measured."""

    ways: Ways
    peak: float
    sample: int
    in_vllm: Mapping[str, Measured]

    def rows(self, workload: Workload) -> Iterator[Row]:
        exact = self._exact(workload)
        for name, opened in self.ways.of(workload).items():
            try:
                measured = self._run(workload, name, opened)
            except UnsupportedByEngine as refusal:
                say(f"{workload.name}: {name} is left out: {refusal}")
                continue
            exact = exact or measured.found
            yield self._row(workload, name, measured, exact)
        if workload.name in self.in_vllm:
            yield self._row(workload, VLLM, self.in_vllm[workload.name], exact)

    def _exact(self, workload: Workload) -> Found:
        """The fp32 loop's numbers; empty where the loop is fp32 anyway and comes first."""
        if self.ways.dtype == "float32" and self.ways.wants(LOOP):
            return {}
        return self._measured(workload, self.ways.exact(), every(workload, self.sample)).found

    def _run(self, workload: Workload, name: str, opened: Any) -> Measured:
        with opened() as runner:
            measured = self._measured(workload, runner, 1 if name == KEEPS else every(workload, self.sample))
        say(f"{workload.name}: {name}, {measured.seconds:.1f} s")
        return measured

    def _measured(self, workload: Workload, runner: Any, each: int) -> Measured:
        subject = self.ways.subject
        warm = warming(subject.marker, subject.reads_targets)
        return run(workload, runner, each, clock_of(self.ways.device), warm, REPEATS[self.ways.device])

    def _row(self, workload: Workload, way: str, measured: Measured, exact: Found) -> Row:
        shape = read_architecture(self.ways.subject.facts, 4096)
        flops = linear_flops(shape) - (last_layer_flops(shape) if way in ENGINE else 0)
        share = measured.computed * flops / measured.seconds / self.peak
        difference = largest_difference(measured.found, exact, self.ways.subject.reward)
        return Row(workload.name, way, workload.asked, measured.computed, measured.seconds, share, difference)


def every(workload: Workload, sample: int) -> int:
    """Every which call, so that about `sample` tokens of the workload run; 0 runs all."""
    return min(max(1, workload.asked // sample), len(workload.calls)) if sample else 1


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
