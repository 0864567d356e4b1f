"""PRIME's functions and the implicit objective equal an independent transcription."""

from __future__ import annotations

import math

import pytest
import torch

from reference import prime as expected
from stepscore.errors import InvalidInput
from stepscore_service.jobs.modeling.objective import Targets
from stepscore_service.jobs.modeling.objectives.implicit import OutcomeLogRatio
from stepscore_service.jobs.online import prime

LENGTHS, OUTCOMES = (3, 5, 2, 7), (1.0, 0.0, 0.0, 1.0)
NUMBERS_S2 = -torch.rand(sum(LENGTHS), 2, generator=torch.Generator().manual_seed(3)).double() * 4
TARGETS = Targets(torch.full((17,), math.nan), torch.tensor(OUTCOMES).double(), LENGTHS)
TOKENS = list(TARGETS.per_solution(prime.token_rewards(NUMBERS_S2)))
ROWS = [each.tolist() for each in TOKENS]


def same(found: list[torch.Tensor], rows: list[list[float]]) -> None:
    assert [each.tolist() for each in found] == [pytest.approx(row) for row in rows]


def test_the_loss_is_the_mean_over_known_outcomes() -> None:
    objective = OutcomeLogRatio(0.05)
    found = objective.total(NUMBERS_S2, TARGETS) / objective.items(TARGETS)
    assert found.item() == pytest.approx(expected.cross_entropy(ROWS, OUTCOMES, 0.05))


def test_an_unknown_outcome_teaches_nothing() -> None:
    targets = Targets(torch.full((17,), math.nan), torch.tensor([1.0, math.nan, 0.0, 1.0]).double(), LENGTHS)
    known = [row for number, row in enumerate(ROWS) if number != 1]
    assert OutcomeLogRatio(0.05).items(targets) == 3
    found = OutcomeLogRatio(0.05).total(NUMBERS_S2, targets)
    assert found.item() == pytest.approx(3 * expected.cross_entropy(known, (1.0, 0.0, 1.0), 0.05))


def test_scale_returns_and_advantages() -> None:
    largest = max(map(prime.largest_to_go, TOKENS))
    scaled, rows = [prime.scale(each, largest) for each in TOKENS], expected.normalised(ROWS)
    same(scaled, rows)
    found, sums = prime.returns(scaled, OUTCOMES, 2), expected.returns(rows, OUTCOMES, 2)
    same(found, sums)
    moments = prime.Moments()
    for each in found:
        moments.add(each)
    same([moments.whiten(each) for each in found], expected.whitened(sums))


@pytest.mark.parametrize("samples", [1, 3])
def test_groups_must_be_whole(samples: int) -> None:
    with pytest.raises(InvalidInput, match="do not form groups"):
        prime.returns(TOKENS, OUTCOMES, samples)
