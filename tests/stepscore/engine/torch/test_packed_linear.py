"""Packed layers give the numbers of plain ones in bfloat16, up to roundings that are fewer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import engine_case as case
from stepscore.engine.torch.linear import Linear
from stepscore.engine.torch.packed_linear import PackedGate, PackedLinear, packs
from stepscore.placement import Placement

CPU = Placement(torch.device("cpu"), torch.bfloat16, 100)
IN, OUT = 48, 40

pytestmark = pytest.mark.skipif(not packs(CPU), reason="oneDNN has no bfloat16 for this CPU")


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape).bfloat16()


def linear(outputs: int, *, bias: bool) -> Linear:
    torch.manual_seed(outputs)
    return Linear(random(outputs, IN) / IN**0.5, random(outputs) if bias else None)


def exactly(layer: Linear, rows: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.linear(
        rows.double(), layer.weight.double(), None if layer.bias is None else layer.bias.double()
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 2, 33, 130])
def test_products_and_what_is_fused_with_them_are_exact_but_for_the_last_rounding(rows: int, bias: bool) -> None:
    layer, x, other = linear(OUT, bias=bias), random(rows, IN), random(rows, OUT)
    packed, wanted = PackedLinear.of(layer), exactly(layer, x)
    cases: list[tuple[Callable[[], torch.Tensor], torch.Tensor]] = [
        (lambda: packed(x), wanted),
        (lambda: packed.silu(x), torch.nn.functional.silu(wanted)),
        (lambda: packed.add(x, other), wanted + other),
        (lambda: packed.times(x, other), wanted * other),
    ]
    for found, exact in cases:
        assert found().shape == exact.shape
        torch.testing.assert_close(found().double(), exact, rtol=2**-7, atol=1e-3)


@pytest.mark.parametrize("bias", [False, True])
def test_a_gate_is_silu_of_its_first_half_times_the_second(bias: bool) -> None:
    both, x = linear(2 * OUT, bias=bias), random(9, IN)
    gate, up = exactly(both, x).chunk(2, dim=-1)
    found = PackedGate.of(both)(x)
    torch.testing.assert_close(found.double(), torch.nn.functional.silu(gate) * up, rtol=2**-6, atol=1e-2)


def test_only_bfloat16_on_a_cpu_without_tiles_is_packed() -> None:
    assert not packs(replace(CPU, dtype=torch.float32))
    assert not packs(replace(CPU, tile=128))
    assert not packs(replace(CPU, device=torch.device("meta")))


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_an_engine_with_packed_layers_is_as_near_to_fp32_as_one_with_plain_ones(tmp_path: Path, kind: str) -> None:
    facts = case.write(tmp_path, kind)
    exact, packed, plain = (
        case.engine(facts, dtype="float32"),
        case.engine(facts, dtype="bfloat16"),
        case.engine(facts, dtype="bfloat16", mode="invariant"),
    )
    assert isinstance(packed.models[0].decoder.layers[0].down, PackedLinear)
    assert isinstance(plain.models[0].decoder.layers[0].down, Linear)
    far = {"packed": 0.0, "plain": 0.0}
    for seed in range(4):
        batch = case.batch(seed)
        wanted = exact.forward(batch)
        for name, engine in (("packed", packed), ("plain", plain)):
            found = engine.forward(batch)
            far[name] += sum(float(abs(one - other).sum()) for one, other in zip(found, wanted, strict=True))
    assert far["packed"] < 1.2 * far["plain"]
