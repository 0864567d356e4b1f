"""PRMBench's suite: items counted once, each family by its own rule, against a plain count of the benchmark's kind."""

from __future__ import annotations

import random
from typing import Any

import pytest

from stepscore.errors import InvalidInput, TooLong
from stepscore.types import Reading
from stepscore_service.jobs.evaluate.suites.base import RewardFacts
from stepscore_service.jobs.evaluate.suites.prmbench import PrmBench, Rule, rule_of
from stepscore_service.jobs.runs.rewards import Scored

CLASSES = ("redundency", "circular", "confidence", "multi_solutions")


def row(number: int, name: str, steps: int, errors: list[int]) -> dict[str, Any]:
    return {
        "idx": f"i{number}",
        "classification": name,
        "modified_question": "q",
        "modified_process": [f"step {step}" for step in range(steps)],
        "original_question": "q",
        "original_process": ["step"],
        "error_steps": errors,
    }


def kept_rows(seed: int, count: int = 60) -> list[dict[str, Any]]:
    rng, suite, found = random.Random(seed), PrmBench(Rule(0.5)), []
    for number in range(count):
        name, steps = rng.choice(CLASSES), rng.randint(1, 6)
        errors = [] if name == "multi_solutions" else sorted(rng.sample(range(1, steps + 1), rng.randint(1, steps)))
        item = row(number, name, steps, errors)
        answers = [Scored(Reading(tuple(rng.random() for _ in each.steps)), 5) for each in suite.ask(item)]
        found.append(suite.keep(item, answers))
    return found


def count_f1(rows: list[dict[str, Any]], threshold: float) -> tuple[float, float]:
    """(F1, F1 of invalid steps), by four sums over all steps, as `evaluate_function` of the benchmark makes them."""
    tp = fp = tn = fn = 0
    for each in rows:
        for step, reward in enumerate(each["rewards"], start=1):
            valid, wrong = reward > threshold, step in each["error_steps"]
            tp, fp = tp + (valid and not wrong), fp + (valid and wrong)
            tn, fn = tn + (not valid and wrong), fn + (not valid and not wrong)
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    negative_precision, negative_recall = tn / (tn + fn), tn / (tn + fp)
    f1 = 2 * precision * recall / (precision + recall)
    return f1, 2 * negative_precision * negative_recall / (negative_precision + negative_recall)


@pytest.mark.parametrize("seed", range(3))
def test_the_score_is_the_benchmarks(seed: int) -> None:
    rows = kept_rows(seed)
    found = PrmBench(Rule(0.5)).measure({"a": rows}, RewardFacts())["files"]["a"]
    f1, f1_invalid = count_f1(rows, 0.5)
    assert (found["f1"], found["f1_invalid"]) == pytest.approx((f1, f1_invalid))
    assert found["prm_score"]["value"] == pytest.approx((f1 + f1_invalid) / 2)
    one = [each for each in rows if each["classification"] == "confidence"]
    assert found["classes"]["confidence"] == pytest.approx(sum(count_f1(one, 0.5)) / 2)


def test_an_item_is_counted_once_and_one_without_rewards_is_left_out() -> None:
    rows = kept_rows(1, 8)
    suite = PrmBench(Rule(0.5))
    lost = suite.keep(row(99, "circular", 2, [1]), [TooLong("too long")])
    found = suite.measure({"a": [*rows, rows[0], lost]}, RewardFacts())["files"]["a"]
    assert found["items"] == 9
    assert found["unscorable"] == {"too_long": 1}
    assert found["f1"] == suite.measure({"a": rows}, RewardFacts())["files"]["a"]["f1"]


def test_redundancy_is_read_where_a_model_reports_it() -> None:
    suite, item = PrmBench(Rule(0.5)), row(1, "circular", 2, [2])
    kept = suite.keep(item, [Scored(Reading((0.9, 0.9), (), {"redundancy": (0.1, 0.2)}), 5)])
    found = suite.measure({"a": [kept]}, RewardFacts())["files"]["a"]
    assert found["step_accuracy"] == 1.0
    other = suite.keep({**item, "classification": "confidence"}, [Scored(Reading((0.9, 0.9)), 5)])
    assert suite.measure({"a": [other]}, RewardFacts())["files"]["a"]["step_accuracy"] == 0.5


def test_each_family_has_the_benchmarks_rule() -> None:
    assert rule_of("skywork", 0.5) == Rule(-0.05, by_change=True)
    assert rule_of("pure", 0.5) == Rule(0.0)
    assert rule_of("qwen_math", 0.5) == Rule(0.5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"classification": "novel"}, "is none of redundency"),
        ({"error_steps": [0]}, "not a step number from 1"),
        ({"error_steps": "1"}, "is text, not a list"),
        ({"modified_process": []}, "is empty"),
        ({"modified_question": None}, "is null, not text"),
    ],
)
def test_a_row_that_is_none_of_the_benchmark_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        PrmBench(Rule(0.5)).ask({**row(1, "circular", 2, [1]), **changed})


def test_errors_only_after_the_last_step_are_a_row_error() -> None:
    row = {"modified_question": "q", "modified_process": ["a", "b"], "classification": "circular", "idx": "1"}
    suite = PrmBench(Rule(0.5))
    with pytest.raises(InvalidInput, match="names only steps after the last, 2"):
        suite.ask(row | {"error_steps": [9]})
    assert suite.ask(row | {"error_steps": [2, 9]})
    assert suite.ask(row | {"error_steps": []})
