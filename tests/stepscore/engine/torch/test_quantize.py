"""8-bit weights: refused where they gain nothing or break a promise, measured on probes, refused beyond a bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import engine_case as case
from stepscore.config import EngineOptions, Quantize
from stepscore.engine.open import open_engine
from stepscore.engine.torch.linear import Linear
from stepscore.engine.torch.planning import needed_ids
from stepscore.engine.torch.quantize import Fp8Linear, Int8Linear
from stepscore.errors import QuantizationError, StepscoreError, UnscorableError, UnsupportedByEngine
from stepscore.placement import check_quantize
from stepscore.scoring.scorer import PROBES, measure_change
from stepscore.types import Reading, Solution


def scaled_mm(
    rows: torch.Tensor, weight: torch.Tensor, *, scale_a: torch.Tensor, scale_b: torch.Tensor, out_dtype: torch.dtype
) -> torch.Tensor:
    """What `torch._scaled_mm` does with a scale for each row and each column."""
    assert rows.dtype == weight.dtype == torch.float8_e4m3fn
    assert scale_a.shape == (len(rows), 1)
    assert scale_b.shape == (1, weight.shape[1])
    return ((rows.float() @ weight.float()) * scale_a * scale_b).to(out_dtype)


@pytest.mark.parametrize("make", [Int8Linear.of, partial(Fp8Linear.of, product=scaled_mm)], ids=["int8", "fp8"])
def test_rows_of_zeros_stay_zeros_and_what_is_not_finite_stays_in_its_row(make: Callable[[Linear], Any]) -> None:
    """aiter#4288, vllm#37442: no division by a scale of zero, and no scale that several rows share."""
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(1))
    weight[3] = 0
    rows = torch.randn(4, 64, generator=torch.Generator().manual_seed(2))
    rows[1] = 0
    rows[2] = float("nan")
    alone, found = make(Linear(weight))(rows[:1]), make(Linear(weight))(rows)
    assert [bool(each.isfinite().all()) for each in found] == [True, True, False, True]
    assert not found[1].any()
    assert not found[[0, 1, 3], 3].any()
    torch.testing.assert_close(found[:1], alone)


@pytest.mark.parametrize(
    ("make", "allowed"), [(Int8Linear.of, 0.02), (partial(Fp8Linear.of, product=scaled_mm), 0.08)], ids=["int8", "fp8"]
)
@pytest.mark.parametrize("biased", [False, True])
def test_products_stay_near_those_of_the_whole_weights(
    make: Callable[[Linear], Any], allowed: float, biased: bool
) -> None:
    torch.manual_seed(0)
    linear = Linear(torch.randn(48, 64) * torch.logspace(-3, 2, 48).unsqueeze(1), torch.randn(48) if biased else None)
    rows = torch.randn(20, 64) * torch.logspace(-2, 2, 20).unsqueeze(1)
    exact, rough = linear(rows), make(linear)(rows)
    norms = rows.norm(dim=1, keepdim=True) * linear.weight.norm(dim=1)
    assert ((exact - rough).abs() / norms).max() < allowed


@pytest.mark.parametrize(
    ("device", "mode", "reason"), [("cpu", "fast", "gain nothing"), ("cuda", "invariant", "promises")]
)
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_refusals_say_why(device: str, mode: Any, reason: str, kind: Quantize) -> None:
    with pytest.raises(UnsupportedByEngine, match=reason):
        check_quantize(kind, "torch", mode, torch.device(device))
    check_quantize("none", "torch", mode, torch.device(device))


@pytest.mark.parametrize("engine", ["torch", "fake", "vllm", "vllm:http://localhost:1"])
def test_no_engine_opens_quantized_on_cpu(tmp_path: Path, engine: str) -> None:
    with pytest.raises(UnsupportedByEngine, match="int8"):
        open_engine(
            case.write(tmp_path), case.CLASS_HEAD, EngineOptions(device="cpu", dtype="float32", quantize="int8"), engine
        )


def test_a_quantized_engine_forgets_what_it_computed_before(tmp_path: Path) -> None:
    """int8 runs anywhere; only opening refuses it on CPU."""
    engine = case.engine(case.write(tmp_path))
    batch = case.batch(seed=1)
    exact = engine.forward(batch)
    engine.quantize("int8")
    assert all(engine.cost(one) == len(needed_ids(one)) for one in batch)
    rough = engine.forward(batch)
    widest = max(float(abs(one).max()) for one in exact)
    moved = max(float(abs(one - other).max()) for one, other in zip(exact, rough, strict=True))
    assert 0 < moved < 0.1 * widest


class Moving:
    """Scores every probe alike, until `change` moves the scores."""

    def __init__(self, reward: float, move: float) -> None:
        self.reward, self._move = reward, move

    def score(self, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]:
        return [Reading((self.reward,) * len(each.steps)) for each in solutions]

    def change(self) -> None:
        self.reward += self._move


def test_the_move_of_the_probes_is_reported() -> None:
    model = Moving(0.5, 0.04)
    assert measure_change(model.score, model.change, bound=0.05) == pytest.approx(0.04)


def test_rewards_beyond_one_are_compared_with_their_largest() -> None:
    model = Moving(-20.0, 0.4)
    assert measure_change(model.score, model.change, bound=0.05) == pytest.approx(0.02)


def test_beyond_the_bound_the_model_is_refused() -> None:
    model = Moving(0.5, -0.06)
    with pytest.raises(QuantizationError, match=r"0\.0600") as refused:
        measure_change(model.score, model.change, bound=0.05)
    assert refused.value.detail == {"error": pytest.approx(0.06), "bound": 0.05}


def test_probes_that_cannot_be_scored_refuse_it_too() -> None:
    with pytest.raises(QuantizationError, match="unknown"):
        measure_change(lambda solutions: [UnscorableError("no") for _ in PROBES], lambda: None, bound=1.0)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_quantized_products_on_cuda(kind: Quantize) -> None:
    torch.manual_seed(0)
    linear = Linear(torch.randn(256, 128, device="cuda", dtype=torch.bfloat16))
    rows = torch.randn(40, 128, device="cuda", dtype=torch.bfloat16)
    made = (Int8Linear.of if kind == "int8" else Fp8Linear.of)(linear)
    exact = linear(rows).float()
    assert (made(rows).float() - exact).abs().max() < 0.1 * exact.abs().max()
