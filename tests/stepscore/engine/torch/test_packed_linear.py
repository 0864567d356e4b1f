"""Weights packed for oneDNN: the numbers of plain products, and only where they are faster.

With bfloat16 units the two are the same bit for bit; on other CPUs the last bit may differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import engine_case as case
from stepscore.engine.torch.architecture import read_architecture
from stepscore.engine.torch.linear import Linear, Projection
from stepscore.engine.torch.loading import load_decoder
from stepscore.engine.torch.packed_linear import PackedLinear, packs
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


@given(st.integers(0, 100_000))
def test_rows_are_rounded_up_by_an_eighth_or_three_at_most(rows: int) -> None:
    rounded = PackedLinear(torch.empty(0), None).padded_rows(rows)
    assert rows <= rounded <= rows + max(3, rows / 8)
    assert PackedLinear(torch.empty(0), None).padded_rows(rounded) == rounded


@dataclass
class Recording:
    """A projection that records the numbers of rows of its products."""

    inner: Projection
    sizes: set[int]

    @property
    def tile(self) -> int:
        return self.inner.tile

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        self.sizes.add(len(rows))
        return self.inner(rows)

    def padded_rows(self, rows: int) -> int:
        return self.inner.padded_rows(rows)


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
def test_an_engine_in_bfloat16_packs_its_weights_and_gives_the_same_numbers(tmp_path: Path) -> None:
    facts = case.write(tmp_path)
    packed, plain = (case.engine(facts, dtype="bfloat16") for _ in range(2))
    assert isinstance(packed.models[0].decoder.layers[0].down, PackedLinear)
    placement = place("cpu", "bfloat16", None, facts.max_tokens)
    loaded = load_decoder(Weights(facts.path), read_architecture(facts, placement.max_tokens), placement)
    plain.models[0].decoder.layers = loaded.layers
    for size in (1, 3, 12):
        sequences = case.batch(size, size=size)
        for found, wanted in zip(packed.forward(sequences), plain.forward(sequences), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=LAST_BIT, atol=LAST_BIT)
