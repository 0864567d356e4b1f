"""Each objective equals an independent transcription of its formula; targets say which steps count."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch.nn.functional import cross_entropy as torch_cross_entropy

from stepscore.types import Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.train.objective import Targets
from stepscore_service.jobs.train.objectives.pqm import RankingLoss
from stepscore_service.jobs.train.objectives.steps import cross_entropy, soft_cross_entropy, squared_error
from stepscore_service.jobs.train.targets import AfterError, after_first_error, outcome_only

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


def transcribed_pqm(values: Sequence[float], labels: Sequence[float], zeta: float) -> float:
    """The README's sum, term by term."""
    sound = [q for q, label in zip(values, labels, strict=True) if label == 1.0]
    wrong = [q for q, label in zip(values, labels, strict=True) if label == 0.0]
    if wrong:
        sound = [0.0, *sound]
    terms = [
        math.log(math.exp(sound[i]) / (sum(map(math.exp, sound[: i + 1])) + sum(math.exp(q + zeta) for q in wrong)))
        for i in range(len(sound))
    ]
    return -sum(terms) / len(terms)


@pytest.mark.parametrize(
    "labels", [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, NAN, 0.0, 1.0]]
)
def test_ranking_loss_is_the_authors(labels: list[float]) -> None:
    values = [0.3, 1.5, -0.2, 2.5]
    found = RankingLoss(zeta=4.0).total(torch.tensor(values)[:, None], targets(labels))
    assert found.item() == pytest.approx(transcribed_pqm(values, labels, 4.0), abs=1e-5)


def test_ranking_loss_is_a_mean_over_solutions_with_judged_steps() -> None:
    values, given = [0.3, 1.5, -0.2, 2.5, 9.0], targets([1.0, 0.0], [1.0, 1.0], [NAN])
    expected = transcribed_pqm(values[:2], [1.0, 0.0], 4.0) + transcribed_pqm(values[2:4], [1.0, 1.0], 4.0)
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
def test_labels_behind_the_first_error(how: AfterError, expected: tuple[float | None, ...]) -> None:
    labelled = Labelled(Solution("P", ("a", "b", "c", "d")), (1.0, 0.0, 1.0, None))
    assert after_first_error(labelled, how) == expected


@pytest.mark.parametrize(("outcome", "last"), [(True, 1.0), (False, 0.0), (None, 0.75)])
def test_an_outcome_model_learns_the_last_step_alone(outcome: bool | None, last: float) -> None:
    labelled = Labelled(Solution("P", ("a", "b")), (1.0, 0.75), outcome)
    assert outcome_only(labelled) == (None, last)
