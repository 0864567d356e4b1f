"""The first minutes on a GPU: python -m benchmarks.gpu_first [--out FILE] [--only PHASE ...] [--tiny]

What can be known of the CUDA path without a GPU is checked by tests; this measures the rest, in at most 10 minutes: the
card's ceilings, what its attention kernel really does, the engine's numbers against fp32, its four kinds of forwards,
compiled and not, CUDA graphs, and fp8. Every phase has its own limit, checked between its measurements, and its results
are in the file before the next one begins. --tiny runs every phase on a CPU with small sizes, to show that it runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from stepscore.engine.torch.architecture import Architecture
from stepscore.engine.torch.attention import varlen_attention
from stepscore.engine.torch.compiling import graphs
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.inputs import load_inputs
from stepscore.engine.torch.kv_pool import KVPool
from stepscore.engine.torch.layer import Layer
from stepscore.engine.torch.linear import Linear
from stepscore.engine.torch.packing import Packed, Segment, pack
from stepscore.engine.torch.quantize import Fp8Linear
from stepscore.engine.torch.small_forwards import ROWS, CallRecorder, CudaRecorder, SmallForwards
from stepscore.engine.torch.varlen_attention import VarlenAttention, flash_kernel

Results = dict[str, Any]
BF16 = torch.bfloat16


@dataclass(frozen=True, slots=True)
class Sizes:
    """A decoder's shape and the forwards to run: segments, tokens of each, cached tokens before each.

    small: those that CUDA graphs are for.
    """

    width: int = 3584
    inner: int = 18944
    heads: int = 28
    key_heads: int = 4
    head_width: int = 128
    layers: int = 28
    vocabulary: int = 152_064
    square: int = 8192
    slots: int = 40_000
    forwards: dict[str, tuple[int, int, int]] = field(
        default_factory=lambda: {
            "singles, 4k": (9, 455, 0),
            "singles, 16k": (36, 455, 0),
            "beam over 500": (16, 60, 500),
            "beam over 2000": (16, 60, 2000),
            "tree node": (1, 31, 500),
        }
    )
    small: dict[str, tuple[int, int, int]] = field(
        default_factory=lambda: {
            "tree node": (1, 31, 500),
            "tree node over 4000": (1, 31, 4000),
            "beam 4x30": (4, 30, 500),
            "beam 4x60": (4, 60, 500),
            "beam 16x16": (16, 16, 500),
        }
    )

    @property
    def architecture(self) -> Architecture:
        steps = torch.arange(0, self.head_width, 2).float() / self.head_width
        return Architecture(
            kind="qwen2",
            layers=self.layers,
            width=self.width,
            inner=self.inner,
            heads=self.heads,
            key_heads=self.key_heads,
            head_width=self.head_width,
            vocabulary=self.vocabulary,
            epsilon=1e-6,
            tied=False,
            qkv_bias=True,
            out_bias=False,
            mlp_bias=False,
            query_key_norm=False,
            windows=(None,) * self.layers,
            inverse_frequencies=1.0 / 1e6**steps,
            rope_scale=1.0,
        )

    @property
    def products(self) -> dict[str, tuple[int, int]]:
        """(out, in) of a layer's products."""
        queries, keys = self.heads * self.head_width, self.key_heads * self.head_width
        return {
            "query, key, value": (queries + 2 * keys, self.width),
            "attention out": (self.width, queries),
            "gate, up": (2 * self.inner, self.width),
            "down": (self.width, self.inner),
        }

    def flops(self, rows: int, reads: int) -> int:
        """Of the products; the last layer's output and MLP run at the reads only."""
        before, *after = (2 * out * inputs for out, inputs in self.products.values())
        return self.layers * rows * before + ((self.layers - 1) * rows + reads) * sum(after)


TINY = Sizes(
    width=64,
    inner=128,
    heads=4,
    key_heads=2,
    head_width=16,
    layers=3,
    vocabulary=512,
    square=128,
    slots=600,
    forwards={"singles, 4k": (3, 20, 0), "beam over 500": (2, 6, 9), "tree node": (1, 3, 9)},
    small={"tree node": (1, 3, 9), "beam 4x30": (4, 5, 9)},
)


class OverTime(Exception):
    """A phase has used up its limit."""


class Bench:
    """Sizes, device and clock; `check` ends a phase that takes too long."""

    def __init__(self, sizes: Sizes, device: torch.device) -> None:
        self.sizes = sizes
        self.device = device
        self.peak = float("nan")
        self.deadline = float("inf")

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def check(self) -> None:
        if time.monotonic() > self.deadline:
            raise OverTime

    def random(self, *size: int, scale: float = 0.02) -> torch.Tensor:
        return torch.randn(*size, device=self.device, dtype=BF16) * scale

    def milliseconds(self, call: Callable[[], Any], repeats: int = 7) -> dict[str, float]:
        """Median and spread on the device, and the median that the host needs to launch it."""
        self.check()
        for _ in range(3):
            call()
        timed = [self._once(call) for _ in range(repeats)]
        device, host = ([each[at] for each in timed] for at in (0, 1))
        return {"ms": median(device), "spread": max(device) - min(device), "host ms": median(host)}

    def _once(self, call: Callable[[], Any]) -> tuple[float, float]:
        if not self.cuda:
            start = time.perf_counter()
            call()
            seconds = time.perf_counter() - start
            return 1e3 * seconds, 1e3 * seconds
        event: Any = torch.cuda.Event
        first, last = (event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start = time.perf_counter()
        first.record()
        call()
        last.record()
        host = time.perf_counter() - start
        torch.cuda.synchronize()
        return float(first.elapsed_time(last)), 1e3 * host

    def decoder(self) -> Decoder:
        """Random weights, with varlen attention on every device."""
        sizes = self.sizes
        names = ("query_key_value", "attention_out", "gate_up", "down")
        layers = []
        for _ in range(sizes.layers):
            weights = [self.random(*size) for size in sizes.products.values()]
            biases = [self.random(len(weights[0])), None, None, None]
            parts: dict[str, Any] = {
                name: Linear(weight, bias) for name, weight, bias in zip(names, weights, biases, strict=True)
            }
            norms = (1 + self.random(sizes.width) for _ in range(2))
            layers.append(
                Layer(
                    input_norm=next(norms), mlp_norm=next(norms), query_norm=None, key_norm=None, window=None, **parts
                )
            )
        embedding, final = self.random(sizes.vocabulary, sizes.width), 1 + self.random(sizes.width)
        decoder = Decoder(sizes.architecture, embedding, tuple(layers), final)
        decoder.attention_for = varlen_attention
        return decoder

    def packed(self, segments: int, size: int, cached: int) -> Packed:
        """A forward that is kept, read at the last token of each segment; all share one cached past."""
        rows = [Segment(row, row + size, cached, np.arange(cached)) for row in range(0, segments * size, size)]
        keep = [(each.start, np.arange(cached + each.start, cached + each.stop)) for each in rows]
        ids = np.random.default_rng(0).integers(0, self.sizes.vocabulary, segments * size)
        return pack(ids.tolist(), rows, [(each.stop - 1, -1) for each in rows], keep)


def ceilings(bench: Bench) -> Iterator[Results]:
    """Products, copies and launches: what the card gives at best."""
    yield {"torch": torch.__version__, "device": str(bench.device), "attention": str(signature(flash_kernel()))}
    if bench.cuda:
        yield {"card": torch.cuda.get_device_name(), "memory": torch.cuda.get_device_properties(0).total_memory}
    size = bench.sizes.square
    left, right = bench.random(size, size), bench.random(size, size)
    timed = bench.milliseconds(lambda: left @ right)
    bench.peak = 2 * size**3 / timed["ms"] / 1e9
    yield {"peak TFLOP/s": bench.peak, **timed}
    source = torch.zeros(1 << (31 if bench.cuda else 20), device=bench.device, dtype=torch.uint8)
    target = torch.empty_like(source)
    yield {"copy GB/s": 2 * source.numel() / bench.milliseconds(lambda: target.copy_(source))["ms"] / 1e6}
    small = torch.zeros(8, device=bench.device)
    launched = bench.milliseconds(lambda: [small.add_(1) for _ in range(1000)], repeats=3)
    yield {"us of a launch": launched["host ms"]}


def products(bench: Bench) -> Iterator[Results]:
    """TFLOP/s of a layer's products by number of rows."""
    for rows in (32, 128, 512, 960, 1024, 2048, 4096, 16384) if bench.cuda else (8, 32):
        found = {}
        for name, (out, inputs) in bench.sizes.products.items():
            weight, data = bench.random(out, inputs), bench.random(rows, inputs, scale=1.0)
            took = bench.milliseconds(partial(functional.linear, data, weight))["ms"]
            found[name] = round(2 * rows * out * inputs / took / 1e9, 3)
        yield {"rows": rows, "TFLOP/s": found}


def attention(bench: Bench) -> Iterator[Results]:
    """The kernel against fp64, and whether a segment's bits depend on its company."""
    sizes = bench.sizes
    kinds = {
        "cached": ([5, 1, 60], [105, 301, 60], None),
        "window": ([50, 1, 7], [80, 100, 7], 12),
        "one token each": ([1, 1], [400, 3], None),
        "equal": ([130, 257], [130, 257], None),
    }
    for name, (counts, lengths, window) in kinds.items():
        bench.check()
        inputs_of = [(count, length - count) for count, length in zip(counts, lengths, strict=True)]
        rows, slots = sum(counts), max(lengths)
        mixed = bench.random(rows, sizes.heads + 2 * sizes.key_heads, sizes.head_width, scale=1.0)
        pool = bench.random(slots + rows, 2, sizes.key_heads, sizes.head_width, scale=1.0)
        together = _attend(bench, inputs_of, mixed, pool.clone(), window)
        worst, alone, start = 0.0, True, 0
        for count, cached in inputs_of:
            own = mixed[start : start + count]
            found = together[start : start + count]
            alone &= torch.equal(_attend(bench, [(count, cached)], own, pool.clone(), window), found)
            worst = max(worst, float((found.double() - _exact(bench, own, pool[:cached], window)).abs().max()))
            start += count
        yield {"kind": name, "largest difference from fp64": worst, "bitwise the same alone": alone}


def _attend(
    bench: Bench, segments: list[tuple[int, int]], mixed: torch.Tensor, pool: torch.Tensor, window: int | None
) -> torch.Tensor:
    made, row = [], 0
    for count, cached in segments:
        made.append(Segment(row, row + count, cached, np.arange(cached)))
        row += count
    packed = pack([0] * row, made, [])
    inputs = load_inputs(packed, bench.device, rows=row, reads=0, scratch=len(pool) - row)
    sizes = bench.sizes
    query, key, value = torch.split(mixed, [sizes.heads, sizes.key_heads, sizes.key_heads], dim=1)
    return VarlenAttention(inputs)(query, key, value, pool, window)


def _exact(bench: Bench, mixed: torch.Tensor, past: torch.Tensor, window: int | None) -> torch.Tensor:
    sizes = bench.sizes
    query, key, value = torch.split(mixed.double(), [sizes.heads, sizes.key_heads, sizes.key_heads], dim=1)
    share = sizes.heads // sizes.key_heads
    keys, values = (
        torch.cat((past[:, at].double(), own)).repeat_interleave(share, 1) for at, own in enumerate((key, value))
    )
    count, length = len(query), len(keys)
    rows = torch.arange(length - count, length, device=bench.device).unsqueeze(1)
    columns = torch.arange(length, device=bench.device)
    hidden = columns > rows if window is None else (columns > rows) | (columns <= rows - window)
    scores = torch.einsum("ihe,jhe->hij", query, keys) / sizes.head_width**0.5
    return torch.einsum("hij,jhe->ihe", scores.masked_fill(hidden, -torch.inf).softmax(-1), values)


def forwards(bench: Bench) -> Iterator[Results]:
    """The engine's four kinds of forwards, layers as written and compiled: share of the measured peak."""
    decoder = bench.decoder()
    pool = KVPool(bench.sizes.architecture, bench.sizes.slots, bench.device, BF16)
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
            load = bench.milliseconds(partial(decoder.load, work, pool.slots))
            rate = bench.sizes.flops(len(work.ids), shape[0]) / timed["ms"] / 1e9
            against = plain.setdefault(name, hidden)
            yield {
                "forward": name,
                "way": way,
                "rows": len(work.ids),
                **timed,
                "load ms": load["ms"],
                "first s": first,
                "TFLOP/s": rate,
                "share of peak": rate / bench.peak,
                "relative difference": float((hidden - against).float().norm() / against.float().norm()),
            }
    yield {"graphs and breaks": graphs()}


def profile(bench: Bench) -> Iterator[Results]:
    """Where the time of a large and of a small forward goes, kernel by kernel."""
    from torch.profiler import ProfilerActivity, profile  # slow to import, and for this phase only

    decoder = bench.decoder()
    pool = KVPool(bench.sizes.architecture, bench.sizes.slots, bench.device, BF16)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
    for name in ("singles, 4k", "tree node"):
        inputs = decoder.load(bench.packed(*bench.sizes.forwards[name]), pool.slots)
        decoder.forward(inputs, pool)
        bench.check()
        with profile(activities=kinds) as seen:
            decoder.forward(inputs, pool)
            if bench.cuda:
                torch.cuda.synchronize()
        order = "self_device_time_total" if bench.cuda else "self_cpu_time_total"
        print(seen.key_averages().table(sort_by=order, row_limit=18, max_name_column_width=60), flush=True)
        rows = sorted(seen.key_averages(), key=lambda row: -getattr(row, order))[:18]
        yield {"forward": name, "us": {row.key[:80]: getattr(row, order) for row in rows}}


@dataclass(frozen=True, slots=True)
class BareModel:
    """A decoder and its cache, without a head."""

    decoder: Decoder
    pool: KVPool


def graph(bench: Bench) -> Iterator[Results]:
    """Small forwards with CUDA graphs and without: beam steps and tree nodes, indices and launches included."""
    decoder = bench.decoder()
    decoder.compile()
    model = BareModel(
        decoder, KVPool(bench.sizes.architecture, bench.sizes.slots, bench.device, BF16, scratch=max(ROWS))
    )
    for layer in model.pool.layers:
        layer.normal_()
    small = SmallForwards([model], CudaRecorder() if bench.cuda else CallRecorder())
    for name, shape in bench.sizes.small.items():
        work = bench.packed(*shape)

        def launched(work: Packed = work) -> torch.Tensor:
            return decoder.forward(decoder.load(work, model.pool.slots), model.pool)

        wanted, start = launched(), time.perf_counter()
        found = small.run(work)
        first = time.perf_counter() - start
        if found is None:
            yield {"forward": name, "failed": small.fault or "too large for a graph"}
            continue
        difference = float((found[0][0] - wanted).float().norm() / wanted.float().norm())
        off, on = bench.milliseconds(launched), bench.milliseconds(partial(small.run, work))
        yield {
            "forward": name,
            "rows": len(work.ids),
            "graphs off": off,
            "graphs on": on,
            "off over on": off["ms"] / on["ms"],
            "recorded in s": first,
            "relative difference": difference,
        }
    if bench.cuda:
        yield {"memory of all graphs": torch.cuda.memory_reserved() - torch.cuda.memory_allocated()}


def invariance(bench: Bench) -> Iterator[Results]:
    """Whether a row's bits depend on the number of rows: in a plain product, in tiles, in an eager norm."""
    out, inputs = bench.sizes.products["gate, up"]
    rows, tile = (4096, 1024) if bench.cuda else (64, 16)
    data, weight = bench.random(rows, inputs, scale=1.0), bench.random(out, inputs)
    whole = functional.linear(data, weight)
    part = functional.linear(data[: rows // 8], weight)
    yield {"plain product": torch.equal(whole[: rows // 8], part)}
    tiled = Linear(weight, None, tile)
    whole = tiled(data)
    starts = ((0, 7), (3, 60 % tile), (tile - 1, 3), (0, rows // 2))
    yield {"tiles": all(torch.equal(tiled(data[at : at + n]), whole[at : at + n]) for at, n in starts)}


def fp8(bench: Bench) -> Iterator[Results]:
    """8-bit products against bfloat16, as written and fused."""
    if not bench.cuda:
        yield {"skipped": "no CUDA device"}
        return
    for rows in (9, 960, 4095):
        for name in ("gate, up", "down"):
            out, inputs = bench.sizes.products[name]
            weight, data = bench.random(out, inputs), bench.random(rows, inputs, scale=1.0)
            small = Fp8Linear.of(Linear(weight))
            fused: Callable[[torch.Tensor], torch.Tensor] = torch.compile(small.__call__, dynamic=True)
            exact = functional.linear(data.float(), weight.float())
            yield {
                "product": name,
                "rows": rows,
                "bfloat16 ms": bench.milliseconds(partial(functional.linear, data, weight))["ms"],
                "fp8 ms": bench.milliseconds(partial(small, data))["ms"],
                "fp8 fused ms": bench.milliseconds(partial(fused, data))["ms"],
                "relative error": float((small(data).float() - exact).norm() / exact.norm()),
            }


Phase = Callable[[Bench], Iterator[Results]]
PHASES: dict[str, tuple[Phase, int]] = {
    "ceilings": (ceilings, 30),
    "products": (products, 60),
    "attention": (attention, 40),
    "forwards": (forwards, 200),
    "profile": (profile, 60),
    "graph": (graph, 60),
    "invariance": (invariance, 40),
    "fp8": (fp8, 60),
}
"""What is measured, in this order, with the seconds that each may take: 550 in all."""


@torch.inference_mode()
def run_phase(bench: Bench, name: str, measure: Phase, limit: int, write: Callable[[Results], None]) -> None:
    """A phase that fails or takes too long leaves what it has measured, and the reason."""
    start = time.monotonic()
    bench.deadline = start + limit
    try:
        for found in measure(bench):
            write({"phase": name, **found})
    except OverTime:
        write({"phase": name, "stopped": f"after {limit} s"})
    except Exception as error:  # a kernel that this card lacks must not cost the phases that follow
        traceback.print_exc()
        write({"phase": name, "failed": f"{type(error).__name__}: {error}"[:400]})
    write({"phase": name, "seconds": round(time.monotonic() - start, 1)})
    if bench.cuda:
        torch.cuda.empty_cache()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.gpu_first", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu_first.jsonl"), help="a line for each result, as it comes")
    parser.add_argument("--only", nargs="+", choices=list(PHASES), default=list(PHASES))
    parser.add_argument("--tiny", action="store_true", help="small sizes on a CPU")
    parsed = parser.parse_args(arguments)
    if not (parsed.tiny or torch.cuda.is_available()):
        print("no CUDA device; --tiny runs every phase on a CPU", file=sys.stderr)
        return 1
    if parsed.tiny:
        from benchmarks import flash_on_cpu  # noqa: F401 - gives the CPU the operator of flash attention
    bench = Bench(TINY if parsed.tiny else Sizes(), torch.device("cpu" if parsed.tiny else "cuda"))
    with parsed.out.open("w", encoding="utf-8") as stream:

        def write(found: Results) -> None:
            line = json.dumps(found)
            print(line, flush=True)
            stream.write(line + "\n")
            stream.flush()

        for name in parsed.only:
            run_phase(bench, name, *PHASES[name], write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
