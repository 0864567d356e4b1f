"""Making rewards of results, without a server: deadlines, and answers that fail each for itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from service_case import PROBLEM, STEPS, fake_scorer
from stepscore_service.errors import DeadlineExceeded
from stepscore_service.schemas.reward import RewardAnswer, RewardRequest
from stepscore_service.schemas.score import FailedItem
from stepscore_service.serving.rewarding import Rewarder, solution_of
from stepscore_service.serving.scoring import resolve_options, score_offline


def rewarder(folder: Path, items: list[dict[str, Any]], deadline: float | None = None) -> Rewarder:
    scorer = fake_scorer(folder)
    request = RewardRequest.model_validate({"items": items})
    options = resolve_options(scorer.info, None, None, ["spans"])
    results = score_offline(scorer, list(map(solution_of, request.items)), options)
    return Rewarder(scorer.info, request, options.aggregate, None, results, deadline)


ITEM = {"problem": PROBLEM, "steps": STEPS}


def test_no_answer_is_verified_after_the_deadline(folder: Path) -> None:
    late = time.monotonic() - 1
    with pytest.raises(DeadlineExceeded):
        rewarder(folder, [{**ITEM, "answer": "18"}] * 3, late).run()
    made, _ = rewarder(folder, [ITEM], late).run()
    assert len(made) == 1, "without an answer there is nothing to wait for"


def test_a_blank_answer_is_an_error_of_its_item(folder: Path) -> None:
    items = [{**ITEM, "answer": " "}, {**ITEM, "answer": "18"}, ITEM]
    _, answers = rewarder(folder, items).run()
    blank, right, unknown = answers.results
    assert isinstance(blank, FailedItem)
    assert isinstance(right, RewardAnswer)
    assert isinstance(unknown, RewardAnswer)
    assert right.outcome is not None
    assert (right.outcome.outcome, unknown.outcome) == ("right", None)


def test_no_items_are_no_error(folder: Path) -> None:
    made, answers = rewarder(folder, []).run()
    assert (made, answers.results) == ([], [])
