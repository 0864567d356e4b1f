"""Timing in processor seconds, the machine's own peak, and the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from benchmarks.engine_peers import Runner
from benchmarks.engine_workloads import Workload

from stepscore.engine.architecture import Architecture
from stepscore.types import Values

PEAK_SIZE, PEAK_REPEATS = 1536, 6


@dataclass(frozen=True, slots=True)
class Row:
    """One way to do one workload. seconds: processor time; peak_share: of the linear layers, padding included."""

    workload: str
    runner: str
    asked: int
    computed: int
    seconds: float
    peak_share: float
    difference: float


def matmul_peak(dtype: torch.dtype) -> float:
    """FLOP per processor second of a square product, the best of a few."""
    left, right = (torch.randn(PEAK_SIZE, PEAK_SIZE).to(dtype) for _ in range(2))
    return 2 * PEAK_SIZE**3 / min(_timed(lambda: left @ right) for _ in range(PEAK_REPEATS))


def linear_flops(shape: Architecture) -> int:
    """FLOP of the linear layers per token: two for each weight."""
    attention = shape.width * shape.head_width * 2 * (shape.heads + shape.key_heads)
    return 2 * shape.layers * (attention + 3 * shape.width * shape.inner)


def last_layer_flops(shape: Architecture) -> int:
    """The part of `linear_flops` that the engine does at read positions only: the last layer's output and MLP."""
    return 2 * (shape.width * shape.heads * shape.head_width + 3 * shape.width * shape.inner)


def run(workload: Workload, runner: Runner, every: int = 1) -> tuple[dict[int, list[Values]], float]:
    """The numbers of every n-th call, and the processor seconds that all calls take at that speed per token asked."""
    calls = dict(list(enumerate(workload.calls))[::every])
    found: dict[int, list[Values]] = {}
    seconds = _timed(lambda: found.update({number: runner(call) for number, call in calls.items()}))
    return found, seconds * workload.asked / sum(len(one.ids) for call in calls.values() for one in call)


def largest_difference(found: Mapping[int, list[Values]], exact: Mapping[int, list[Values]]) -> float:
    """Of the rewards (the probability of the second class), over the calls that both ran."""
    common = [pair for call in exact.keys() & found.keys() for pair in zip(found[call], exact[call], strict=True)]
    return max(float(np.abs(_reward(one) - _reward(other)).max(initial=0.0)) for one, other in common)


def _reward(logits: Values) -> Values:
    return np.asarray(1.0 / (1.0 + np.exp(logits[:, 0].astype(np.float64) - logits[:, 1])))


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


HEADER = (
    "| workload | way | tokens asked | computed | CPU s | tokens/s | % of GEMM peak | speed-up over the loop | "
    "over padded 16 | over sorted | max difference |"
)


def table(rows: Iterable[Row]) -> str:
    """Markdown. tokens/s are tokens asked per processor second; speed-ups are ratios of processor seconds."""
    lines = [HEADER, "|" + "---|" * HEADER.count("|", 1)]
    by_workload: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_workload.setdefault(row.workload, {})[row.runner] = row
    for ways in by_workload.values():
        peers = [ways.get(name) for name in ("card's loop", "padded 16", "sorted, 1024 tokens")]
        lines += [_line(row, peers) for row in ways.values()]
    return "\n".join(lines)


def _line(row: Row, peers: Sequence[Row | None]) -> str:
    """A peer that was not run on this workload has no ratio."""
    ratios = " | ".join("-" if peer is None else f"{peer.seconds / row.seconds:.2f}" for peer in peers)
    return (
        f"| {row.workload} | {row.runner} | {row.asked:,} | {row.computed:,} | {row.seconds:.1f} | "
        f"{row.asked / row.seconds:,.0f} | {100 * row.peak_share:.0f} | {ratios} | {row.difference:.1e} |"
    )
