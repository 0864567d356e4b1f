"""The worst misses in the report: whatever the model got most wrong, in every suite, with the texts of its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_case import PROBLEM, invoke, write
from stepscore.types import RewardRange
from stepscore_service.jobs.evaluate.suites.base import RewardFacts, Suite
from stepscore_service.jobs.evaluate.suites.registry import SuiteOptions, build_suite

FACTS = RewardFacts()
BENCH = {"threshold": 0.5}
RULE = {"rule": {"threshold": 0.5, "by_change": False}}


def severity(suite: Suite, row: dict[str, Any], measured: Any = None, facts: RewardFacts = FACTS) -> float | None:
    miss = suite.miss(row, measured or {}, facts)
    return None if miss is None else round(miss.severity, 6)


@pytest.mark.parametrize(
    ("rewards", "label", "expected"),
    [
        ([0.9, 0.2], 1, None),
        ([0.9, 0.8], -1, None),
        ([0.9, 0.8], 1, 0.3),  # the labelled step is 0.3 over the threshold
        ([0.1, 0.2], 1, 0.4),  # a sound step is 0.4 under it
        ([0.9, 0.3], -1, 0.2),
        (None, 1, None),
    ],
)
def test_processbench(rewards: list[float] | None, label: int, expected: float | None) -> None:
    suite = build_suite("processbench", SuiteOptions())
    assert severity(suite, {"rewards": rewards, "label": label}, BENCH) == expected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(-1, 5), st.floats(0.01, 1))
def test_processbench_misses_are_what_the_accuracy_counts_as_wrong(
    rewards: list[float], label: int, threshold: float
) -> None:
    label = min(label, len(rewards) - 1)
    suite = build_suite("processbench", SuiteOptions())
    found = next((step for step, reward in enumerate(rewards) if reward < threshold), -1)
    miss = suite.miss({"rewards": rewards, "label": label}, {"threshold": threshold}, FACTS)
    assert (miss is None) == (found == label)
    assert miss is None or miss.severity >= 0


def test_prmbench() -> None:
    suite = build_suite("prmbench", SuiteOptions())
    row = {"classification": "circular", "rewards": [0.9, 0.9, 0.1, 0.9], "error_steps": [2]}
    miss = suite.miss(row, RULE, FACTS)
    assert miss is not None
    assert miss.severity == 0.5
    assert miss.solutions[0].marks == {1: "an error, called valid", 2: "valid, called an error"}
    assert severity(suite, row | {"rewards": [0.9, 0.1, 0.9, 0.9]}, RULE) is None


def test_steps() -> None:
    suite = build_suite("steps", SuiteOptions())
    row = {"labels": [1.0, None, 0.0], "rewards": [0.8, 0.0, 0.9]}
    assert severity(suite, row) == 0.9
    assert severity(suite, row | {"rewards": [0.8, 0.0, 0.4]}) is None
    real = RewardFacts(RewardRange("real", -1e9, 1e9))
    assert severity(suite, row | {"rewards": [30.0, 0.0, -30.0]}, facts=real) is None


def test_best_of_n() -> None:
    suite = build_suite("best_of_n", SuiteOptions())
    row = {"correct": [True, False, False], "rewards": [[0.5], [0.7, 0.6], None]}
    miss = suite.miss(row, {}, FACTS)
    assert miss is not None
    assert round(miss.severity, 6) == 0.1
    assert [each.place for each in miss.solutions] == [1, 0]
    assert severity(suite, row | {"rewards": [[0.9], [0.7], None]}) is None
    assert severity(suite, row | {"correct": [False, False, True]}) is None  # no right one has a score


def test_the_ten_worst_of_a_suite_are_on_the_page_with_their_texts(tmp_path: Path, folder: Path) -> None:
    rows = [
        {"id": f"n{n}", "problem": f"{PROBLEM} <{n}>", "steps": [f"{n} <b>eggs</b>", f"so {n}."], "label": n % 2}
        for n in range(16)
    ]
    files = [write(tmp_path / f"{name}.jsonl", some) for name, some in (("a", rows[:9]), ("b", rows[9:]))]
    given = [part for file in files for part in ("--processbench", file)]
    model = ["--model", f"tiny={folder}", "--engine", "fake"]
    result = invoke("evaluate", *given, "--threshold", "1", "--out", tmp_path / "out", *model)
    assert result.exit_code == 0, result.output
    misses = json.loads((tmp_path / "out" / "metrics.json").read_text())["misses"]["processbench"]
    assert len(misses) == 8  # under a threshold of 1 each first step is an error; half of the rows say the second
    assert {miss["what"] for miss in misses} == {"first error: step 1 is labelled, step 0 was found"}
    page, text = ((tmp_path / "out" / name).read_text() for name in ("report.html", "report.md"))
    for miss in misses:
        number = int(miss["row"].rpartition("n")[2])
        assert f"{PROBLEM} &lt;{number}&gt;" in page
        assert f"{number} &lt;b&gt;eggs&lt;/b&gt;" in page
        assert f"{number} <b>eggs</b>" in text
    assert "the 8 worst misses" in page
