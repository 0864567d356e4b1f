"""The decoder's sizes, its forwards, and the clock of the first minutes on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.engine.workloads import Sizes as Workloads
from stepscore.engine.torch.architecture import Architecture
from stepscore.engine.torch.attention import varlen_attention
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.kv_pool import KVPool
from stepscore.engine.torch.layer import LINEARS, Layer
from stepscore.engine.torch.linear import Linear
from stepscore.engine.torch.packing import Packed, Segment, pack

Results = dict[str, Any]
BF16 = torch.bfloat16


@dataclass(frozen=True, slots=True)
class Sizes:
    """A decoder's shape and the forwards to run: segments, tokens of each, cached tokens before each.

    small: those that CUDA graphs are for. cache: bytes of the engine's KV cache. workloads: of the engine.
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
    cache: int = 8 << 30
    workloads: Workloads = field(default_factory=Workloads)
    forwards: dict[str, tuple[int, int, int]] = field(
        default_factory=lambda: {
            "singles, 4k": (9, 455, 0),
            "singles, 16k": (36, 455, 0),
            "rerank": (64, 155, 150),
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
            "beam 16x30": (16, 30, 500),
            "beam 16x60": (16, 60, 500),
            "beam 16x60 over 1500": (16, 60, 1500),
            "three of 300": (3, 300, 0),
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
    cache=1 << 22,
    workloads=Workloads(4, 2, 4),
    forwards={"singles, 4k": (3, 20, 0), "rerank": (4, 6, 9), "beam over 500": (2, 6, 9), "tree node": (1, 3, 9)},
    small={"tree node": (1, 3, 9), "beam 4x30": (4, 5, 9), "three of 300": (1, 140, 0)},
)


DEEP = Sizes(
    width=896,
    inner=4736,
    heads=7,
    key_heads=1,
    vocabulary=2000,
    square=512,
    slots=1500,
    cache=1 << 26,
    workloads=Workloads(4, 2, 4),
    forwards={
        "singles, 4k": (4, 120, 0),
        "rerank": (16, 40, 60),
        "beam over 500": (4, 30, 200),
        "tree node": (1, 31, 200),
    },
    small={"tree node": (1, 31, 200), "beam 4x30": (4, 30, 200)},
)
"""A quarter of the width, and all layers: rounding adds up over them."""


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

    def milliseconds(self, call: Callable[[], Any], repeats: int = 5) -> dict[str, float]:
        """Median and spread on the device, and the median that the host needs to launch it."""
        self.check()
        for _ in range(2):
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
        torch.cuda.synchronize()
        return self._between_events(call)

    def _between_events(self, call: Callable[[], Any]) -> tuple[float, float]:
        event: Any = torch.cuda.Event
        first, last = (event(enable_timing=True) for _ in range(2))
        start = time.perf_counter()
        first.record()
        call()
        last.record()
        host = time.perf_counter() - start
        torch.cuda.synchronize()
        return float(first.elapsed_time(last)), 1e3 * host

    def device_milliseconds(self, call: Callable[[], Any], host: float, repeats: int = 3) -> float:
        """On the device alone: launched while it still computes something else, for twice the `host` milliseconds."""
        if not self.cuda:
            return self._once(call)[0]
        size = self.sizes.square
        square = torch.zeros((size, size), device=self.device, dtype=BF16)
        busy = max(1, round(2 * host * self.peak / (2 * size**3 / 1e9))) if self.peak > 0 else 50
        taken = []
        for _ in range(repeats):
            torch.cuda.synchronize()
            for _ in range(busy):
                square @ square
            taken.append(self._between_events(call)[0])
        return median(taken)

    def decoder(self) -> Decoder:
        """Random weights, with varlen attention on every device."""
        sizes = self.sizes
        layers = []
        for _ in range(sizes.layers):
            weights = [self.random(*size) for size in sizes.products.values()]
            biases = [self.random(len(weights[0])), None, None, None]
            parts: dict[str, Any] = {
                name: Linear(weight, bias) for name, weight, bias in zip(LINEARS, weights, biases, strict=True)
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

    def wide(self, decoder: Decoder) -> Decoder:
        """The same weights in fp32."""
        layers = []
        for layer in decoder.layers:
            parts: dict[str, Any] = {name: _wide(getattr(layer, name)) for name in LINEARS}
            norms = {name: getattr(layer, name).float() for name in ("input_norm", "mlp_norm")}
            layers.append(replace(layer, **norms, **parts))
        return Decoder(self.sizes.architecture, decoder.embedding.float(), tuple(layers), decoder.final_norm.float())

    def pool(self, scratch: int = 0) -> KVPool:
        """Random keys and values, as of a past that was computed."""
        made = KVPool(self.sizes.architecture, self.sizes.slots, self.device, BF16, scratch)
        for layer in made.layers:
            layer.normal_()
        return made

    def packed(self, segments: int, size: int, cached: int) -> Packed:
        """A forward that is kept, read at the last token of each segment; all share one cached past."""
        return self.packed_of([size] * segments, cached)

    def packed_of(self, counts: Sequence[int], cached: int) -> Packed:
        """The same with segments of different sizes."""
        ends = np.cumsum([0, *counts]).tolist()
        rows = [Segment(start, stop, cached, np.arange(cached)) for start, stop in pairwise(ends)]
        keep = [(each.start, np.arange(cached + each.start, cached + each.stop)) for each in rows]
        ids = np.random.default_rng(0).integers(0, self.sizes.vocabulary, ends[-1])
        return pack(ids.tolist(), rows, [(each.stop - 1, -1) for each in rows], keep)


def _wide(linear: Linear) -> Linear:
    return Linear(linear.weight.float(), None if linear.bias is None else linear.bias.float())
