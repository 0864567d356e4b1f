"""The decoder's forwards: their speed, their distance from fp32, their profile, and what CUDA graphs save."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from benchmarks.engine.peers import Batches, TransformersPeer, one_at_a_time, padded
from benchmarks.gpu_first.bench import Bench, Results
from benchmarks.gpu_first.card import backbone
from stepscore.config import Quantize
from stepscore.engine.reference import ReferenceModel
from stepscore.engine.torch.compiling import graphs
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.kv_pool import KVPool
from stepscore.engine.torch.packing import Packed
from stepscore.engine.torch.quantize import quantize
from stepscore.engine.torch.small_forwards import ROWS, CallRecorder, CudaRecorder, SmallForwards
from stepscore.types import Encoded


def forwards(bench: Bench) -> Iterator[Results]:
    """The engine's kinds of forwards, layers as written and compiled: share of the measured peak.

    ms: from an idle device, launching included; device ms: without what the host makes it wait for.
    """
    decoder, pool = bench.decoder(), bench.pool()
    plain: dict[str, torch.Tensor] = {}
    for way in ("as written", "compiled"):
        if way == "compiled":
            decoder.compile()
        for name, shape in bench.sizes.forwards.items():
            work = bench.packed(*shape)
            inputs = decoder.load(work, pool.slots)
            start = time.perf_counter()
            hidden = decoder.forward(inputs, pool)
            first = time.perf_counter() - start
            timed = bench.milliseconds(partial(decoder.forward, inputs, pool))
            alone = bench.device_milliseconds(partial(decoder.forward, inputs, pool), timed["host ms"])
            load = bench.milliseconds(partial(decoder.load, work, pool.slots))
            rates = [bench.sizes.flops(len(work.ids), shape[0]) / ms / 1e9 for ms in (timed["ms"], alone)]
            against = plain.setdefault(name, hidden)
            yield {
                "forward": name,
                "way": way,
                "rows": len(work.ids),
                **timed,
                "device ms": alone,
                "load ms": load["ms"],
                "first s": first,
                "TFLOP/s": rates[0],
                "share of peak": rates[0] / bench.peak,
                "share of peak, device alone": rates[1] / bench.peak,
                "relative difference": relative(hidden, against)[0],
            }
    yield {"graphs and breaks": graphs()}


def relative(found: torch.Tensor, exact: torch.Tensor) -> tuple[float, float]:
    """Norm of the difference over the norm of what is exact: of all rows, and the largest of one row."""
    rows, wanted = found.float() - exact.float(), exact.float()
    each = rows.norm(dim=-1) / wanted.norm(dim=-1)
    return float(rows.norm() / wanted.norm()), float(each.max())


def exactness(bench: Bench) -> Iterator[Results]:
    """How far each way is from the same weights in fp32: layers as written, compiled, graphs, and the model's card."""
    decoder, pool = bench.decoder(), bench.pool(scratch=max(ROWS))
    wide, wide_pool = bench.wide(decoder), bench.pool()
    for layer, source in zip(wide_pool.layers, pool.layers, strict=True):
        layer.copy_(source[: len(layer)])
    wide_pool.layers = tuple(layer.float() for layer in wide_pool.layers)
    small = SmallForwards([BareModel(decoder, pool)], CudaRecorder() if bench.cuda else CallRecorder())
    size = bench.sizes.forwards["singles, 4k"][1]
    uneven = bench.packed_of([size - each * size // 12 for each in range(8)], 0)
    works = {"uneven singles": uneven} | {
        name: bench.packed(*bench.sizes.forwards[name]) for name in ("rerank", "beam over 500", "tree node")
    }
    exact = {name: wide.forward(wide.load(work, wide_pool.slots), wide_pool) for name, work in works.items()}

    def row(name: str, way: str, found: torch.Tensor) -> Results:
        bench.check()
        whole, largest = relative(found, exact[name])
        return {"forward": name, "way": way, "error from fp32": whole, "largest of a row": largest}

    for way, batches in (("card's loop", one_at_a_time), ("padded 16", padded(16))):
        yield row("uneven singles", way, _by_card(bench, decoder, uneven, batches))
    for way in ("as written", "compiled", "graph"):
        if way == "compiled":
            decoder.compile()
        for name, work in works.items():
            if way != "graph":
                yield row(name, way, decoder.forward(decoder.load(work, pool.slots), pool))
            elif (found := small.run(work)) is not None:
                yield row(name, way, found[0][0])


def quantized(bench: Bench) -> Iterator[Results]:
    """Whole forwards with weights in 8 bits, layers compiled, and their distance from those in 16."""
    kinds: tuple[Quantize, ...] = ("fp8", "int8") if bench.cuda else ("int8",)
    for kind in kinds:
        decoder, pool = bench.decoder(), bench.pool()
        works = {
            name: bench.packed(*bench.sizes.forwards[name]) for name in ("singles, 4k", "beam over 500", "tree node")
        }
        plain = {name: decoder.forward(decoder.load(work, pool.slots), pool) for name, work in works.items()}
        quantize(decoder, kind)
        decoder.compile()
        for name, work in works.items():
            inputs = decoder.load(work, pool.slots)
            error, largest = relative(decoder.forward(inputs, pool), plain[name])
            timed = bench.milliseconds(partial(decoder.forward, inputs, pool))
            alone = bench.device_milliseconds(partial(decoder.forward, inputs, pool), timed["host ms"])
            row = {"forward": name, "way": kind, **timed, "device ms": alone}
            yield row | {"relative difference from bfloat16": error, "largest of a row": largest}


def _by_card(
    bench: Bench, decoder: Decoder, work: Packed, batches: Callable[[Sequence[Encoded]], Batches]
) -> torch.Tensor:
    """(P, D) at the last token of each segment, by transformers' own model."""
    calls = [Encoded(tuple(work.ids[each.start : each.stop]), (each.stop - each.start - 1,)) for each in work.segments]
    model = ReferenceModel(backbone(decoder), lambda hidden, targets: hidden.float())
    found = TransformersPeer(model, batches)(calls)
    return torch.from_numpy(np.concatenate(found)).to(bench.device)


def profile(bench: Bench) -> Iterator[Results]:
    """Where the time of a large and of a small forward goes, on the device and on the host; layers compiled."""
    from torch.profiler import ProfilerActivity, profile  # slow to import, and for this phase only

    decoder, pool = bench.decoder(), bench.pool()
    decoder.compile()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
    for name in ("singles, 4k", "tree node"):
        inputs = decoder.load(bench.packed(*bench.sizes.forwards[name]), pool.slots)
        decoder.forward(inputs, pool)
        bench.check()
        with profile(activities=kinds) as seen:
            decoder.forward(inputs, pool)
            if bench.cuda:
                torch.cuda.synchronize()
        for order in ("self_device_time_total", "self_cpu_time_total")[not bench.cuda :]:
            rows = sorted(seen.key_averages(), key=lambda row: -getattr(row, order))[:18]
            us = {f"{row.key[:70]} x{row.count}": round(getattr(row, order)) for row in rows}
            yield {"forward": name, "us, by " + order: us}


@dataclass(frozen=True, slots=True)
class BareModel:
    """A decoder and its cache, without a head."""

    decoder: Decoder
    pool: KVPool


def graph(bench: Bench) -> Iterator[Results]:
    """Small forwards with CUDA graphs and without: beam steps and tree nodes, indices and launches included."""
    decoder = bench.decoder()
    decoder.compile()
    model = BareModel(decoder, bench.pool(scratch=max(ROWS)))
    small = SmallForwards([model], CudaRecorder() if bench.cuda else CallRecorder())
    for name, shape in bench.sizes.small.items():
        work = bench.packed(*shape)

        def launched(work: Packed = work) -> torch.Tensor:
            return decoder.forward(decoder.load(work, model.pool.slots), model.pool)

        wanted, before, start = launched(), _reserved(bench), time.perf_counter()
        found = small.run(work)
        first, grown = time.perf_counter() - start, _reserved(bench) - before
        if found is None:
            yield {"forward": name, "failed": small.fault or "too large for a graph"}
            continue
        difference, _ = relative(found[0][0], wanted)
        off, on = bench.milliseconds(launched), bench.milliseconds(partial(small.run, work))
        yield {
            "forward": name,
            "rows": len(work.ids),
            "graphs off": off,
            "graphs on": on,
            "off over on": off["ms"] / on["ms"],
            "recorded in s": first,
            "bytes more": grown,
            "relative difference": difference,
        }


def _reserved(bench: Bench) -> int:
    """Bytes that the device has given away, those of recorded graphs included."""
    if not bench.cuda:
        return 0
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    return int(total - free)
