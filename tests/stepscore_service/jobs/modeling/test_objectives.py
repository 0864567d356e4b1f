"""Each objective equals an independent transcription of its formula; targets say which steps count."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy as torch_cross_entropy

from stepscore.types import Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.modeling.objective import Targets
from stepscore_service.jobs.modeling.objectives.pqm import RankingLoss
from stepscore_service.jobs.modeling.objectives.steps import cross_entropy, soft_cross_entropy, squared_error
from stepscore_service.jobs.modeling.plan import TrainPlan
from stepscore_service.jobs.modeling.targets import AfterError, after_first_error, outcome_only

NAN = math.nan
NUMBERS_S2 = torch.tensor([[0.3, 1.2], [-0.4, 0.1], [2.0, -1.0], [0.5, 0.7]])


def targets(*solutions: Sequence[float]) -> Targets:
    labels = torch.tensor([label for solution in solutions for label in solution])
    return Targets(labels, torch.full((len(solutions),), NAN), tuple(map(len, solutions)))


def test_cross_entropy_is_that_of_two_classes_over_judged_steps() -> None:
    given = targets([1.0, NAN], [0.0, 0.8])
    expected = torch_cross_entropy(NUMBERS_S2[[0, 2, 3]], torch.tensor([1, 0, 1]), reduction="sum")
    assert cross_entropy().items(given) == 3
    torch.testing.assert_close(cross_entropy().total(NUMBERS_S2, given), expected)


def test_positive_weight_counts_sound_steps_more() -> None:
    given = targets([1.0, 1.0], [0.0, 1.0])
    expected = torch_cross_entropy(
        NUMBERS_S2, torch.tensor([1, 1, 0, 1]), weight=torch.tensor([1.0, 3.0]), reduction="sum"
    )
    torch.testing.assert_close(cross_entropy(3.0).total(NUMBERS_S2, given), expected)


def test_soft_labels_are_taken_as_they_are() -> None:
    labels = [0.25, 1.0, 0.0, 0.5]
    probabilities = NUMBERS_S2.softmax(-1)
    soft_S2 = torch.tensor([[1 - label, label] for label in labels])
    expected = -(soft_S2 * probabilities.log()).sum()
    torch.testing.assert_close(soft_cross_entropy().total(NUMBERS_S2, targets(labels)), expected)


def test_squared_error_reads_probabilities() -> None:
    values_S1 = torch.tensor([[0.3], [-2.0]])
    expected = (1 / (1 + math.exp(-0.3)) - 1.0) ** 2 + (1 / (1 + math.exp(2.0)) - 0.25) ** 2
    assert squared_error().total(values_S1, targets([1.0, 0.25])).item() == pytest.approx(expected, abs=1e-6)


GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "pqm_loss.json").read_text())
"""What the authors' own PQM_loss returned, in float64."""


def ranking_loss(values: Sequence[float], labels: Sequence[float | None], zeta: float = 4.0) -> float:
    given = targets([NAN if label is None else label for label in labels])
    return RankingLoss(zeta).total(torch.tensor(values)[:, None], given).item()


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['values']}-{case['labels']}-{case['zeta']}")
def test_the_ranking_loss_is_the_authors(case: dict[str, Any]) -> None:
    found = ranking_loss(case["values"], case["labels"], case["zeta"])
    assert found == pytest.approx(case["loss"], abs=2e-5)  # they add 1e-5 to a denominator of at least 1


@pytest.mark.parametrize(("values", "expected"), [([2.0], 0.1269), ([-5.0], 5.0067), ([1.0, 2.0, 3.0], 0.3870)])
def test_a_solution_without_errors_is_ranked_above_the_first_state(values: list[float], expected: float) -> None:
    assert ranking_loss(values, [1.0] * len(values)) == pytest.approx(expected, abs=1e-4)


def test_a_sound_solution_has_a_gradient() -> None:
    numbers = torch.tensor([[2.0]], requires_grad=True)
    RankingLoss().total(numbers, targets([1.0])).backward()  # type: ignore[no-untyped-call]
    assert numbers.grad is not None
    assert numbers.grad.item() == pytest.approx(-1.0 / (1.0 + math.exp(2.0)), abs=1e-6)


def test_ranking_loss_is_a_mean_over_solutions_with_judged_steps() -> None:
    values, given = [0.3, 1.5, -0.2, 2.5, 9.0], targets([1.0, 0.0], [1.0, 1.0], [NAN])
    expected = ranking_loss(values[:2], [1.0, 0.0]) + ranking_loss(values[2:4], [1.0, 1.0])
    assert RankingLoss().items(given) == 2
    assert RankingLoss().total(torch.tensor(values)[:, None], given).item() == pytest.approx(expected, abs=1e-5)


def test_ranking_loss_holds_where_exponentials_would_overflow() -> None:
    numbers = torch.tensor([[300.0], [-300.0], [500.0]], requires_grad=True)
    loss = RankingLoss().total(numbers, targets([1.0, 1.0, 0.0]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert numbers.grad is not None
    assert numbers.grad.isfinite().all()


@pytest.mark.parametrize(
    ("how", "expected"),
    [("masked", (1.0, 0.0, None, None)), ("kept", (1.0, 0.0, 1.0, None)), ("zeroed", (1.0, 0.0, 0.0, 0.0))],
)
def test_labels_after_the_first_error(how: AfterError, expected: tuple[float | None, ...]) -> None:
    labelled = Labelled(Solution("P", ("a", "b", "c", "d")), (1.0, 0.0, 1.0, None))
    assert after_first_error(labelled, how) == expected


@pytest.mark.parametrize(
    ("error_below", "expected"),
    [(0.0, (0.25, 0.5, 1.0, 0.0)), (0.5, (0.25, None, None, None)), (0.25, (0.25, 0.5, 1.0, 0.0))],
)
def test_a_soft_label_is_an_error_at_zero_or_below_the_stated_one(
    error_below: float, expected: tuple[float | None, ...]
) -> None:
    labelled = Labelled(Solution("P", ("a", "b", "c", "d")), (0.25, 0.5, 1.0, 0.0))
    assert after_first_error(labelled, "masked", error_below) == expected


@pytest.mark.parametrize(("error_below", "classes"), [(0.0, [1, 1, 0, 1]), (0.5, [0, 1, 0, 1])])
def test_hard_labels_of_soft_ones_follow_the_same_rule(error_below: float, classes: list[int]) -> None:
    expected = torch_cross_entropy(NUMBERS_S2, torch.tensor(classes), reduction="sum")
    found = cross_entropy(error_below=error_below).total(NUMBERS_S2, targets([0.25, 0.5, 0.0, 1.0]))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("objective", "given", "expected"),
    [("pqm", None, "kept"), ("pqm", "masked", "masked"), ("cross-entropy", None, "masked"), ("soft", "kept", "kept")],
)
def test_pqm_keeps_every_wrong_step_unless_told_otherwise(
    objective: Any, given: AfterError | None, expected: AfterError
) -> None:
    plan = TrainPlan("base", objective=objective, after_error=given)
    assert plan.labels_after_error == plan.identity()["after_error"] == expected


@pytest.mark.parametrize(("outcome", "last"), [(True, 1.0), (False, 0.0), (None, 0.75)])
def test_an_outcome_model_learns_the_last_step_alone(outcome: bool | None, last: float) -> None:
    labelled = Labelled(Solution("P", ("a", "b")), (1.0, 0.75), outcome)
    assert outcome_only(labelled) == (None, last)
