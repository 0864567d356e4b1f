"""Timing in processor seconds (on a GPU: seconds), the machine's own peak, and the differences of rewards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from benchmarks.engine.workloads import Workload, tokens
from stepscore.engine.torch.architecture import Architecture
from stepscore.types import Encoded, Values

PEAK_SIZE = {"cpu": 1536, "cuda": 8192}
PEAK_REPEATS = 6
REPEATS = {"cpu": 1, "cuda": 3}
"""A GPU's first run of a shape loads kernels and grows the allocator; processor time has no such start."""
WARM = tuple(range(2, 34))

Found = dict[int, list[Values]]


class Runner(Protocol):
    """One way to compute a call. computed: tokens that went through the layers so far, padding included."""

    @property
    def computed(self) -> int: ...

    def __call__(self, call: Sequence[Encoded]) -> list[Values]: ...

    def purge(self) -> None:
        """Forget what was kept between calls."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """found: the numbers of each call that was run. computed, seconds: of the whole workload."""

    found: Found
    computed: int
    seconds: float


def run(
    workload: Workload, runner: Runner, every: int, clock: Callable[[], float], warm: Encoded, repeats: int = 1
) -> Measured:
    """Every n-th call of a workload from the n/2-th on, after a call of other tokens that makes the runner warm.

    repeats: more than one runs the whole workload once beforehand, so that no shape is met for the first time, and
    takes the run of median time; nothing is kept from one run to the next. Tokens computed and seconds are scaled to
    all calls by the prompt tokens: whoever keeps nothing between calls pays for each call its own tokens and nothing
    else. The first round of a beam search alone would not stand for the rest: it is short, and mostly padding.
    """
    runner([warm])
    calls = dict(list(enumerate(workload.calls))[every // 2 :: every])
    scale = workload.asked / tokens(list(calls.values()))
    if repeats > 1:
        _timed(calls, runner, clock, scale)
    measured = []
    for _ in range(repeats):
        runner.purge()
        measured.append(_timed(calls, runner, clock, scale))
    return sorted(measured, key=lambda each: each.seconds)[repeats // 2]


def _timed(
    calls: Mapping[int, Sequence[Encoded]], runner: Runner, clock: Callable[[], float], scale: float
) -> Measured:
    computed, start = runner.computed, clock()
    found = {number: runner(call) for number, call in calls.items()}
    return Measured(found, round((runner.computed - computed) * scale), (clock() - start) * scale)


def warming(marker: int, reads_targets: bool) -> Encoded:
    """A sequence that no workload starts with."""
    reads = (len(WARM) - 1,)
    return Encoded((*WARM, marker), reads, (marker,) if reads_targets else ())


def clock_of(device: str) -> Callable[[], float]:
    """Processor seconds of this process; on a GPU, seconds when all that was asked of it is done."""
    if device == "cpu":
        return time.process_time

    def synchronised() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronised


def matmul_peak(dtype: torch.dtype, device: str) -> float:
    """FLOP a second of a square product on the device's clock, the best of a few."""
    size, clock = PEAK_SIZE[device], clock_of(device)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def timed() -> float:
        start = clock()
        torch.matmul(left, right)
        return clock() - start

    return 2 * size**3 / min(timed() for _ in range(PEAK_REPEATS))


def linear_flops(shape: Architecture) -> int:
    """FLOP of the linear layers per token: two for each weight."""
    attention = shape.width * shape.head_width * 2 * (shape.heads + shape.key_heads)
    return 2 * shape.layers * (attention + 3 * shape.width * shape.inner)


def last_layer_flops(shape: Architecture) -> int:
    """The part of `linear_flops` that the engine does at read positions only: the last layer's output and MLP."""
    return 2 * (shape.width * shape.heads * shape.head_width + 3 * shape.width * shape.inner)


def largest_difference(found: Mapping[int, list[Values]], exact: Found, reward: Callable[[Values], Values]) -> float:
    """Of the rewards, over the calls that both ran."""
    return max(_differences(found, exact, reward), default=float("nan"))


def _differences(
    found: Mapping[int, list[Values]], exact: Found, reward: Callable[[Values], Values]
) -> Iterable[float]:
    for call in exact.keys() & found.keys():
        for one, other in zip(found[call], exact[call], strict=True):
            yield float(np.abs(reward(one) - reward(other)).max(initial=0.0))
