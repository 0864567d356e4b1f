"""A thousand problems go through one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli_case import write
from stepscore.scoring.protocol import ModelInfo
from stepscore.types import PROBABILITY, Reading, Solution
from stepscore_service.jobs.evaluate.evaluation import EvaluationPart, measure, score
from stepscore_service.jobs.evaluate.suites.base import RewardFacts
from stepscore_service.jobs.evaluate.suites.processbench import ProcessBench
from stepscore_service.jobs.runs.rewards import Scored, ScoredOrError
from stepscore_service.jobs.runs.source import Line, Source

INFO = ModelInfo("m", "f", "r", PROBABILITY, "min", 0.5, "", 512, 512, "fake", "none", "float32", "fast")
BATCH = 32


@dataclass
class Count:
    """Rows that were read but whose rewards were not asked for yet."""

    read: int = 0
    asked: int = 0
    most: int = 0


@dataclass(frozen=True, slots=True)
class CountedInput(Source):
    count: Count = field(default_factory=Count)

    def lines(self) -> Iterator[Line]:
        for line in Source.lines(self):
            self.count.read += 1
            self.count.most = max(self.count.most, self.count.read - self.count.asked)
            yield line


@dataclass
class CountedRewards:
    count: Count
    info: ModelInfo = INFO

    def score(self, solutions: Sequence[Solution]) -> list[ScoredOrError]:
        self.count.asked += len(solutions)
        return [Scored(Reading((0.9, 0.1)), 7) for _ in solutions]


def test_only_one_batch_is_held_at_a_time(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"problem": f"{n}", "steps": ["a", "b"], "label": n % 3 - 1} for n in range(1000)]
    count = Count()
    source = CountedInput(str(write(tmp_path / "a.jsonl", rows)), 1000, "", count=count)
    part = EvaluationPart(ProcessBench(0.5), "a", source)
    (tmp_path / "rows").mkdir()
    assert score(part, CountedRewards(count), tmp_path, {"command": "evaluate"}, BATCH) == 0
    assert count.most <= BATCH
    found = measure([part], RewardFacts(), tmp_path)["processbench"]["splits"]["a"]
    assert (found["solutions"], found["with_error"]) == (1000, 666)
    assert found["error_accuracy"] == pytest.approx(0.5)
    assert found["correct_accuracy"] == 0.0
