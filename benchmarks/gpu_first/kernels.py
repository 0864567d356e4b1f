"""What the card gives at best, and what its kernels really do: products, attention, 8-bit numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature

import numpy as np
import torch
from torch.nn import functional

from benchmarks.gpu_first.bench import Bench, Results
from stepscore.engine.torch.inputs import load_inputs
from stepscore.engine.torch.linear import Linear
from stepscore.engine.torch.packing import Segment, pack
from stepscore.engine.torch.quantize import Fp8Linear
from stepscore.engine.torch.varlen_attention import VarlenAttention, flash_kernel


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
