"""A decoder of 7B and 72B shapes on the device `meta`: what a GPU would be asked to do, counted without one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from stepscore.engine.torch.architecture import Architecture
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.kv_pool import KVPool
from stepscore.engine.torch.layer import Layer
from stepscore.engine.torch.linear import Linear
from stepscore.engine.torch.packing import Packed, Segment, pack
from stepscore.engine.torch.small_forwards import CallRecorder, SmallForwards

META, SLOTS = torch.device("meta"), 10_000
KERNELS, COPIES, DENSE_KERNELS = 31, 1, 50
"""Of a layer; of a forward, from host to device; of a layer that attends by masked products."""
VIEWS = frozenset(
    {
        "view",
        "split",
        "split_with_sizes",
        "slice",
        "unsqueeze",
        "detach",
        "t",
        "select",
        "transpose",
        "alias",
        "as_strided",
    }
    | {
        "expand",
        "permute",
        "empty",
        "new_empty",
        "empty_like",
        "_unsafe_view",
        "lift_fresh",
        "chunk",
        "flatten",
        "narrow",
    }
)

SIZES = {
    "7B": {"width": 3584, "inner": 18944, "heads": 28, "key_heads": 4},
    "72B": {"width": 8192, "inner": 29568, "heads": 64, "key_heads": 8},
}
FORWARDS = {"singles": (9, 455, 0), "beam": (16, 60, 500), "small beam": (4, 40, 500), "tree node": (1, 31, 500)}
LONG_PAST = (1, 31, 4000)
"""Segments, tokens of each, and how many tokens of its past are cached."""


def architecture(size: str, layers: int) -> Architecture:
    return Architecture(
        kind="qwen2",
        layers=layers,
        head_width=128,
        vocabulary=152_064,
        epsilon=1e-6,
        tied=False,
        qkv_bias=True,
        out_bias=False,
        mlp_bias=False,
        query_key_norm=False,
        windows=(None,) * layers,
        inverse_frequencies=1.0 / 1e6 ** (torch.arange(0, 128, 2).float() / 128),
        rope_scale=1.0,
        **SIZES[size],
    )


def decoder(shape: Architecture) -> Decoder:
    def empty(*size: int) -> torch.Tensor:
        return torch.empty(size, device=META, dtype=torch.bfloat16)

    queries, keys = shape.heads * shape.head_width, shape.key_heads * shape.head_width
    layers = tuple(
        Layer(
            input_norm=empty(shape.width),
            query_key_value=Linear(empty(queries + 2 * keys, shape.width), empty(queries + 2 * keys)),
            query_norm=None,
            key_norm=None,
            attention_out=Linear(empty(shape.width, queries)),
            mlp_norm=empty(shape.width),
            gate_up=Linear(empty(2 * shape.inner, shape.width)),
            down=Linear(empty(shape.width, shape.inner)),
            window=None,
        )
        for _ in range(shape.layers)
    )
    return Decoder(shape, empty(shape.vocabulary, shape.width), layers, empty(shape.width))


def packed(segments: int, size: int, cached: int) -> Packed:
    """Segments that are kept, each read at its last token."""
    made = [Segment(row, row + size, cached, np.arange(cached)) for row in range(0, segments * size, size)]
    keep = [(each.start, np.arange(5_000 + each.start, 5_000 + each.stop)) for each in made]
    return pack([0] * segments * size, made, [(each.stop - 1, -1) for each in made], keep)


@dataclass(frozen=True)
class ModelOf:
    decoder: Decoder
    pool: KVPool


@dataclass
class Device(TorchDispatchMode):
    """Counts kernels and copies from the host; an operation over two devices is an error, as it is on a GPU.

    So is reading a number back: `meta` has none.
    """

    kernels: Counter[str] = field(default_factory=Counter)
    copies: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor) and each.dim()]
        devices = {each.device.type for each in tensors}
        out = func(*args, **(kwargs or {}))
        target = {each.device.type for each in tree_leaves(out) if isinstance(each, torch.Tensor)}
        if name in ("_to_copy", "copy_") and "cpu" in devices and target == {"meta"}:
            self.copies += 1
            return out
        assert len(devices) < 2, f"{name} over {devices}"
        if "meta" in target and name not in VIEWS:
            self.kernels[name] += 1
        return out


def trace(size: str, layers: int, forward: str, break_with=None) -> Device:
    """One forward after another of the same positions, whose rotations are then on the device."""
    with torch.no_grad():
        shape = architecture(size, layers)
        model, pool = decoder(shape), KVPool(shape, SLOTS, META, torch.bfloat16)
        work = packed(*FORWARDS[forward])
        model.forward(model.load(work, SLOTS), pool)
        if break_with is not None:
            model.attention_for = break_with(model.attention_for)
        with Device() as device:
            model.forward(model.load(work, SLOTS), pool)
    return device


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("forward", FORWARDS)
def test_a_forward_copies_once_never_waits_and_keeps_its_budget_of_kernels(size: str, forward: str) -> None:
    three, four = trace(size, 3, forward), trace(size, 4, forward)
    of_a_layer = four.kernels - three.kernels
    assert sum(of_a_layer.values()) <= KERNELS, of_a_layer
    assert three.copies == four.copies == COPIES


def trace_replayed(layers: int, forward: tuple[int, int, int]) -> Device:
    """A forward at a fixed shape, recorded before, with other indices: what is launched, or replayed as a graph."""
    segments, tokens, cached = forward
    with torch.no_grad():
        shape = architecture("7B", layers)
        model = ModelOf(decoder(shape), KVPool(shape, SLOTS, META, torch.bfloat16, scratch=512))
        small = SmallForwards([model], CallRecorder())
        assert small.run(packed(*forward)) is not None
        with Device() as device:
            assert small.run(packed(segments, tokens - 1, cached + 1)) is not None
    return device


@pytest.mark.parametrize(
    ("forward", "kernels"),
    [(FORWARDS["small beam"], KERNELS), (FORWARDS["tree node"], KERNELS), (LONG_PAST, DENSE_KERNELS)],
)
def test_a_recorded_forward_copies_its_indices_once_and_needs_nothing_else_from_the_host(
    forward: tuple[int, int, int], kernels: int
) -> None:
    three, four = trace_replayed(3, forward), trace_replayed(4, forward)
    of_a_layer = four.kernels - three.kernels
    assert sum(of_a_layer.values()) <= kernels, of_a_layer
    assert three.copies == four.copies == COPIES


def _mixes_devices(attention_for):
    def mixed(*arguments):
        attend = attention_for(*arguments)
        return lambda query, *rest: attend(query, *rest) * torch.ones(128, dtype=torch.bfloat16)

    return mixed


def _waits(attention_for):
    def waiting(*arguments):
        attend = attention_for(*arguments)
        return lambda query, *rest: attend(query, *rest) if bool((query == 0).all()) else query

    return waiting


@pytest.mark.parametrize("breaks", [_mixes_devices, _waits])
def test_the_trace_notices_a_stray_tensor_and_a_wait(breaks) -> None:
    with pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        trace("7B", 2, "tree node", breaks)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("forward", FORWARDS)
def test_products_are_those_of_the_tokens_that_must_be_computed(size: str, forward: str) -> None:
    """Two operations for each weight and row; the last layer's output and MLP for the rows that are read only."""
    layers = 3
    shape = architecture(size, layers)
    segments, tokens, _ = FORWARDS[forward]
    with torch.no_grad():
        model, pool = decoder(shape), KVPool(shape, SLOTS, META, torch.bfloat16)
        inputs = model.load(packed(*FORWARDS[forward]), SLOTS)
        with FlopCounterMode(display=False) as counter:
            model.forward(inputs, pool)
    counts = counter.get_flop_counts()["Global"]
    products = sum(count for operation, count in counts.items() if "mm" in str(operation))
    before = shape.width * (shape.heads + 2 * shape.key_heads) * shape.head_width
    after = shape.width * shape.heads * shape.head_width + 3 * shape.width * shape.inner
    assert products == 2 * (segments * tokens * (layers * before + (layers - 1) * after) + segments * after)
