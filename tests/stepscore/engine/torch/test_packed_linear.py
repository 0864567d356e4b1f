"""Weights packed for oneDNN: the numbers of plain products, and only where they are faster.

With bfloat16 units a product is the same bit for bit; on other CPUs the last bit may differ. What is fused with a
product is rounded once less.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import engine_case as case
from stepscore.engine.torch.architecture import read_architecture
from stepscore.engine.torch.linear import Linear
from stepscore.engine.torch.loading import load_decoder
from stepscore.engine.torch.packed_linear import PackedGate, PackedLinear, packs
from stepscore.engine.torch.weights import Weights
from stepscore.placement import place
from stepscore.types import Encoded

CPU = torch.device("cpu")
LAST_BIT = 2.0**-7

needs_bfloat16 = pytest.mark.skipif(
    not packs("fast", CPU, torch.bfloat16), reason="oneDNN has no bfloat16 products on this CPU"
)


@needs_bfloat16
@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 70), st.integers(1, 70), st.booleans())
def test_a_packed_product_is_the_plain_one(rows: int, inputs: int, outputs: int, biased: bool) -> None:
    generator = torch.Generator().manual_seed(rows)
    weight, bias, wide = (
        torch.randn(*size, generator=generator).bfloat16()
        for size in ((outputs, inputs), (outputs,), (rows, 2 * inputs))
    )
    linear = Linear(weight, bias if biased else None)
    view = wide[:, :inputs]
    torch.testing.assert_close(PackedLinear.of(linear)(view), linear(view), rtol=LAST_BIT, atol=LAST_BIT)


@needs_bfloat16
@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 70), st.integers(1, 70), st.booleans())
def test_what_is_fused_with_a_product_is_what_follows_it(rows: int, inputs: int, outputs: int, biased: bool) -> None:
    generator = torch.Generator().manual_seed(rows)
    weight, bias, wide, residual = (
        torch.randn(*size, generator=generator).bfloat16()
        for size in ((2 * outputs, inputs), (2 * outputs,), (rows, 2 * inputs), (rows, 2 * outputs))
    )
    linear, view = Linear(weight, bias if biased else None), wide[:, :inputs]
    exact = Linear(weight.float(), bias.float() if biased else None)
    before = residual.clone()
    for fused, wanted in (
        (PackedLinear.of(linear).add_to(residual, view), exact.add_to(residual.float(), view.float())),
        (PackedGate.of(linear).gate(view), exact.gate(view.float())),
    ):
        torch.testing.assert_close(fused.float(), wanted, rtol=2 * LAST_BIT, atol=2 * LAST_BIT)
    assert torch.equal(residual, before)


@given(st.integers(0, 100_000))
def test_rows_are_rounded_up_by_an_eighth_or_three_at_most(rows: int) -> None:
    rounded = PackedLinear(torch.empty(0), None).padded_rows(rows)
    assert rows <= rounded <= rows + max(3, rows / 8)
    assert PackedLinear(torch.empty(0), None).padded_rows(rounded) == rounded


@dataclass
class Recording:
    """A projection that records the numbers of rows of its products."""

    inner: Any
    sizes: set[int]

    @property
    def tile(self) -> int:
        return int(self.inner.tile)

    def __call__(self, rows: torch.Tensor) -> Any:
        self.sizes.add(len(rows))
        return self.inner(rows)

    def padded_rows(self, rows: int) -> int:
        return int(self.inner.padded_rows(rows))

    def add_to(self, residual: torch.Tensor, rows: torch.Tensor) -> Any:
        self.sizes.add(len(rows))
        return self.inner.add_to(residual, rows)

    def gate(self, rows: torch.Tensor) -> Any:
        self.sizes.add(len(rows))
        return self.inner.gate(rows)


@needs_bfloat16
def test_an_engine_asks_onednn_for_few_numbers_of_rows(tmp_path: Path) -> None:
    engine = case.engine(case.write(tmp_path), dtype="bfloat16", kv_cache_bytes=0)
    sizes: set[int] = set()
    engine.models[0].decoder.replace_linears(lambda packed: Recording(packed, sizes))
    for length in range(1, 257):
        engine.forward([Encoded((1,) * length, (length - 1,))])
    assert sizes == {*range(4, 65, 4), *range(72, 129, 8), *range(144, 257, 16)}


@pytest.mark.parametrize(
    ("mode", "device", "dtype"),
    [
        ("invariant", "cpu", torch.bfloat16),
        ("fast", "meta", torch.bfloat16),
        ("fast", "cpu", torch.float32),
        ("fast", "cpu", torch.float16),
    ],
)
def test_nothing_else_is_packed(mode: str, device: str, dtype: torch.dtype) -> None:
    assert not packs(mode, torch.device(device), dtype)  # type: ignore[arg-type]


@needs_bfloat16
def test_an_engine_in_bfloat16_packs_its_weights_and_is_as_close_to_float32_as_without(tmp_path: Path) -> None:
    facts = case.write(tmp_path)
    packed, plain = (case.engine(facts, dtype="bfloat16") for _ in range(2))
    assert isinstance(packed.models[0].decoder.layers[0].down, PackedLinear)
    assert isinstance(packed.models[0].decoder.layers[0].gate_up, PackedGate)
    placement = place("cpu", "bfloat16", None, facts.max_tokens)
    loaded = load_decoder(Weights(facts.path), read_architecture(facts, placement.max_tokens), placement)
    plain.models[0].decoder.layers = loaded.layers
    exact = case.engine(facts, dtype="float32")
    sequences = [each for size in (1, 3, 12) for each in case.batch(size, size=size)]
    wanted = exact.forward(sequences)
    assert 0 < case.largest(packed.forward(sequences), wanted) <= 1.5 * case.largest(plain.forward(sequences), wanted)
