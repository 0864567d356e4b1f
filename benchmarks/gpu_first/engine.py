"""The whole engine on the workloads of `benchmarks.engine`, against what a model's card runs; weights are random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.engine.measure import (
    Measured,
    clock_of,
    largest_difference,
    last_layer_flops,
    linear_flops,
    matmul_peak,
    run,
    warming,
)
from benchmarks.engine.peers import TransformersPeer, one_at_a_time, padded
from benchmarks.engine.run import every
from benchmarks.engine.subjects import CLASSES, probability_of_class
from benchmarks.engine.ways import KEEPS, LOOP, PADDED, EngineRunner
from benchmarks.engine.workloads import RandomSource, Workload, workloads
from benchmarks.gpu_first.bench import Bench, Results
from benchmarks.gpu_first.card import backbone
from stepscore.config import Mode
from stepscore.engine.protocol import EngineInfo, SequenceLimits
from stepscore.engine.reference import ReferenceModel
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.engine import IN_FLIGHT, Model, TorchEngine, add_cache
from stepscore.engine.torch.kv_pool import KVPool
from stepscore.engine.torch.linear import Linear, tile_for
from stepscore.engine.torch.packing import Packed
from stepscore.engine.torch.readout import LinearStack
from stepscore.engine.torch.small_forwards import CallRecorder, CudaRecorder, SmallForwards

SAMPLE = 10_000
"""Tokens of a workload that the card's ways run at least; the rest of its calls is scaled."""
FORWARD, LARGE = 4096, 16_384
SMALLER, LAUNCHED, TILED = f"{KEEPS}, {FORWARD} a forward", f"{KEEPS}, no graphs", "engine, invariant"
REPEATS = 3


class CountingForwards(SmallForwards):
    """Counts them. forwards: all that were asked for. replayed: those that a shape was found for."""

    forwards = replayed = 0

    def of_a_run(self) -> Results:
        """`measure.run` calls once with other tokens, and then runs everything once more than it repeats it."""
        runs = REPEATS + 1
        return {"forwards": (self.forwards - 1) / runs, "as graphs": (self.replayed - 1) / runs}

    def run(self, packed: Packed) -> tuple[list[torch.Tensor], torch.Tensor] | None:
        found = super().run(packed)
        self.forwards += 1
        self.replayed += found is not None
        return found


class Subject:
    """One set of random weights, and every way to run them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._shape = bench.sizes.architecture
        self._decoder = bench.decoder()
        self._tiled = self._with_tiles(self._decoder)
        self._decoder.compile()
        width = self._shape.width
        first, second = (torch.randn(size, width, device=bench.device) for size in (width, 2))
        self._head = Linear(first * 0.05), Linear(second * 0.1)
        self._card = ReferenceModel(backbone(self._decoder), LinearStack(self._head))

    def ways(self, workload: Workload) -> dict[str, Callable[[], Any]]:
        """What makes the runner of each."""
        ways: dict[str, Callable[[], Any]] = {KEEPS: self._engine}
        if len(workload.calls) == self._bench.sizes.workloads.rounds:
            ways |= {LAUNCHED: lambda: self._engine(graphs=False)}
        elif not workload.one_a_call:
            ways |= {SMALLER: lambda: self._engine(large=0)}
        if not workload.one_problem:
            ways |= {TILED: self._invariant}
        ways |= {LOOP: lambda: TransformersPeer(self._card, one_at_a_time)}
        if not workload.one_a_call:
            ways |= {PADDED: lambda: TransformersPeer(self._card, padded(16))}
        return ways

    def share(self, measured: Measured, way: str) -> float:
        """Of the measured peak."""
        flops = linear_flops(self._shape) - (last_layer_flops(self._shape) if way.startswith("engine") else 0)
        return measured.computed * flops / measured.seconds / (self._bench.peak * 1e12)

    def _engine(self, large: int = LARGE, *, graphs: bool = True) -> EngineRunner:
        model = self._model(self._decoder)
        add_cache([model], self._bench.sizes.cache, scratch=LARGE if self._bench.cuda else 0)
        engine = TorchEngine([model], self._info("fast", large), self._limits())
        if graphs:
            engine.small = CountingForwards(engine.models, CudaRecorder() if self._bench.cuda else CallRecorder())
        return EngineRunner(engine)

    def _invariant(self) -> EngineRunner:
        return EngineRunner(TorchEngine([self._model(self._tiled)], self._info("invariant", LARGE), self._limits()))

    def _model(self, decoder: Decoder) -> Model:
        head = [replace(linear, tile=decoder.layers[0].down.tile) for linear in self._head]
        return Model(decoder, LinearStack(tuple(head)), KVPool(self._shape, 0, decoder.device, decoder.dtype))

    def _info(self, mode: Mode, large: int) -> EngineInfo:
        return EngineInfo(
            name="torch",
            device=str(self._bench.device),
            dtype="bfloat16",
            mode=mode,
            max_tokens=32_768,
            max_batch_tokens=FORWARD,
            chunked=mode == "fast",
            in_flight=IN_FLIGHT if self._bench.cuda else 1,
            large_batch_tokens=large,
        )

    def _limits(self) -> SequenceLimits:
        return SequenceLimits(32_768, self._shape.vocabulary, CLASSES)

    def _with_tiles(self, decoder: Decoder) -> Decoder:
        """Over the same weights, for mode invariant."""
        tiled = Decoder(self._shape, decoder.embedding, decoder.layers, decoder.final_norm)
        tiled.replace_linears(lambda linear: replace(linear, tile=tile_for(decoder.device)))
        tiled.attention_for = decoder.attention_for
        return tiled


def engine(bench: Bench) -> Iterator[Results]:
    """Computed tokens, seconds (median of three after a warm-up), what the loop takes, and the share of the peak."""
    if not bench.peak > 0:
        bench.peak = matmul_peak(torch.bfloat16, bench.device.type) / 1e12
    subject, marker = Subject(bench), bench.sizes.vocabulary - 1
    for workload in workloads(RandomSource(marker + 1), marker, bench.sizes.workloads):
        measured: dict[str, Measured] = {}
        for way, opened in subject.ways(workload).items():
            bench.check()
            runner = opened()
            calls = every(workload, SAMPLE) if way in (LOOP, PADDED) else 1
            clock = clock_of(bench.device.type)
            measured[way] = run(workload, runner, calls, clock, warming(marker, False), REPEATS)
            yield _row(subject, workload, way, measured[way], runner)
            if way == TILED:
                yield {
                    "workload": workload.name,
                    "way": way,
                    "bitwise the same alone": _alike(workload, measured[way], runner),
                }
            if isinstance(runner, EngineRunner):
                runner.engine.close()
        yield _against_the_loop(workload, measured)


def _row(subject: Subject, workload: Workload, way: str, measured: Measured, runner: Any) -> Results:
    row = {
        "workload": workload.name,
        "way": way,
        "prompt tokens": workload.asked,
        "computed": measured.computed,
        "seconds of a run": round(measured.seconds, 4),
        "ms a call": round(1e3 * measured.seconds / len(workload.calls), 3),
        "share of peak": round(subject.share(measured, way), 4),
    }
    small = getattr(getattr(runner, "engine", None), "small", None)
    return row | (small.of_a_run() if small is not None else {})


def _alike(workload: Workload, measured: Measured, runner: EngineRunner) -> bool:
    """Whether sequences of the first call have the same numbers without the others."""
    alone = [runner([one])[0] for one in workload.calls[0][:4]]
    return all(np.array_equal(one, other) for one, other in zip(alone, measured.found[0][:4], strict=True))


def _against_the_loop(workload: Workload, measured: dict[str, Measured]) -> Results:
    loop = measured[LOOP]
    return {
        "workload": workload.name,
        "times the loop": {way: round(loop.seconds / each.seconds, 2) for way, each in measured.items()},
        "largest difference of a reward from the loop": {
            way: float(np.round(largest_difference(each.found, loop.found, probability_of_class), 4))
            for way, each in measured.items()
        },
    }
