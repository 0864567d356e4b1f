"""PRMBench: nine kinds of errors in steps (arXiv 2501.03124). Rows as in hitsmy/PRMBench_Preview."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.rows import RowModel, RowText, WholeNumber, read_as
from stepscore_service.jobs.evaluate.suites.base import (
    Measured,
    Miss,
    MissedSolution,
    RewardFacts,
    ids,
    numbers_of,
    rewards_of,
    texts,
    usable,
)
from stepscore_service.jobs.evaluate.suites.registry import SuiteOptions
from stepscore_service.jobs.metrics.interval import Doubles, bootstrap
from stepscore_service.jobs.metrics.prm_score import (
    CLASSES,
    Confusion,
    confusion,
    pool,
    prm_score,
    valid_by_change,
    valid_by_level,
)
from stepscore_service.jobs.runs.rewards import Scored, ScoredOrError
from stepscore_service.jobs.runs.source import JsonRow

REDUNDANT = ("redundency", "circular")
"""Classes in which a model's own redundancy, where it has one, takes the place of its reward."""
REDUNDANCY_THRESHOLD = 0.15
"""ReasonEval's, above which a step is redundant (GAIR-NLP/ReasonEval)."""


def build(options: SuiteOptions) -> PrmBench:
    return PrmBench(None if options.threshold is None else Rule(options.threshold))


class PrmBenchRow(RowModel):
    """An item of the benchmark."""

    classification: RowText
    modified_question: RowText
    modified_process: list[RowText]
    error_steps: list[Annotated[WholeNumber, Field(ge=1)]] = Field(description="a step number from 1")


class OriginalRow(RowModel):
    """The sound solution that an item was made from."""

    original_question: RowText
    original_process: list[RowText]


@dataclass(frozen=True, slots=True)
class Rule:
    """How PRMBench calls a step valid: reward > threshold, or change of the reward > threshold."""

    threshold: float
    by_change: bool = False

    def valid(self, rewards_S: Sequence[float]) -> list[bool]:
        return (valid_by_change if self.by_change else valid_by_level)(rewards_S, self.threshold)


def rule_of(family: str, threshold: float) -> Rule:
    """The benchmark's own rule for a family (mr_eval/models); else its threshold on the reward."""
    own = {"skywork": Rule(-0.05, by_change=True), "pure": Rule(0.0)}
    return own.get(family, Rule(threshold))


@dataclass
class Counted:
    """What one file adds up to."""

    by_class: dict[str, Confusion] = field(default_factory=lambda: defaultdict(Confusion))
    each: list[Confusion] = field(default_factory=list)
    items: Counter[str] = field(default_factory=Counter)
    unscorable: Counter[str] = field(default_factory=Counter)
    first_errors: list[bool] = field(default_factory=list)
    shares: list[tuple[str, str, float]] = field(default_factory=list)
    """Class, question and share of steps called valid, of every item."""
    originals: dict[str, float] = field(default_factory=dict)
    """By question, the share of steps called valid in its sound solution."""


@dataclass(frozen=True, slots=True)
class PrmBench:
    """rule: which steps count as valid; None for the benchmark's own rule for the model's family."""

    rule: Rule | None = None
    kind: ClassVar[str] = "prmbench"
    shape: ClassVar[str] = (
        'an object like {"modified_question": "…", "modified_process": ["…"], "error_steps": [2], '
        '"classification": "circular", "idx": "…"}'
    )

    def ask(self, row: JsonRow) -> list[Solution]:
        """The item; for a redundancy item also the sound solution that it was made from."""
        found = read_as(PrmBenchRow, row)
        steps, wrong = texts(found.modified_process, "modified_process"), found.error_steps
        if found.classification not in CLASSES:
            message = f"classification {found.classification!r} is none of {', '.join(CLASSES)}"
            raise InvalidInput(message, field="classification")
        if wrong and min(wrong) > len(steps):  # one beside others is left out, as the benchmark's own code does
            raise InvalidInput(f'"error_steps" names only steps after the last, {len(steps)}', field="error_steps")
        item = Solution(found.modified_question, steps)
        if found.classification != "redundency":
            return [item]
        original = read_as(OriginalRow, row)
        return [item, Solution(original.original_question, texts(original.original_process, "original_process"))]

    def keep(self, row: JsonRow, answers: Sequence[ScoredOrError]) -> JsonRow:
        extras = answers[0].reading.extras if isinstance(answers[0], Scored) else {}
        return {
            **ids(row),
            "classification": row["classification"],
            "error_steps": list(map(int, row["error_steps"])),
            **rewards_of(answers[0]),
            **({"redundancy": list(extras["redundancy"])} if "redundancy" in extras else {}),
            **({"original_rewards": numbers_of(answers[1])} if len(answers) > 1 else {}),
        }

    def measure(self, files: Mapping[str, Iterable[JsonRow]], model: RewardFacts) -> Measured:
        rule = self.rule or rule_of(model.family, model.threshold)
        return {"rule": asdict(rule), "files": {name: _file(rows, rule) for name, rows in files.items()}}

    def miss(self, row: JsonRow, measured: Measured, model: RewardFacts) -> Miss | None:
        """The item with the largest share of steps called what they are not."""
        if row["rewards"] is None:
            return None
        wrong = [step + 1 in row["error_steps"] for step in range(len(row["rewards"]))]
        called = [not valid for valid in _valid(row, Rule(**measured["rule"]))]
        marks = {
            step: "an error, called valid" if error else "valid, called an error"
            for step, error in enumerate(wrong)
            if error != called[step]
        }
        if not marks:
            return None
        what = f"{row['classification']}: {len(marks)} of {len(wrong)} steps are called what they are not"
        return Miss(len(marks) / len(wrong), what, (MissedSolution(0, row["rewards"], marks),))

    def solutions(self, row: JsonRow) -> Sequence[Solution | None]:
        return self.ask(row)


def _file(rows: Iterable[JsonRow], rule: Rule) -> Measured:
    """As the benchmark does: an item is counted once, and an item without rewards is left out, and reported."""
    counted, seen = Counted(), set()
    for number, row in enumerate(usable(rows)):
        key = (row["classification"], row.get("idx", number))
        if key not in seen:
            seen.add(key)
            _count(counted, row, rule)
    return _measure(counted)


def _count(counted: Counted, row: JsonRow, rule: Rule) -> None:
    name, question = row["classification"], str(row.get("idx", ""))
    counted.items[name] += 1
    if row.get("original_rewards"):
        counted.originals[question] = _share(rule.valid(row["original_rewards"]))
    if row["rewards"] is None:
        counted.unscorable[row["unscorable"]["code"]] += 1
        return
    valid_S = _valid(row, rule)
    counts = confusion(valid_S, row["error_steps"])
    counted.by_class[name] += counts
    counted.each.append(counts)
    counted.shares.append((name, question, _share(valid_S)))
    if row["error_steps"] and min(row["error_steps"]) <= len(valid_S):
        counted.first_errors.append(not valid_S[min(row["error_steps"]) - 1])


def _valid(row: JsonRow, rule: Rule) -> list[bool]:
    if row["classification"] in REDUNDANT and "redundancy" in row:
        return [redundancy <= REDUNDANCY_THRESHOLD for redundancy in row["redundancy"]]
    return rule.valid(row["rewards"])


def _measure(counted: Counted) -> Measured:
    score, total = prm_score(counted.by_class), pool(counted.by_class.values())
    interval = bootstrap(partial(_overall, np.array([_row(each) for each in counted.each])), len(counted.each))
    similarities = [
        abs(share - counted.originals[question])
        for _, question, share in counted.shares
        if question in counted.originals
    ]
    return {
        "items": sum(counted.items.values()),
        "items_by_class": dict(counted.items),
        "unscorable": dict(counted.unscorable),
        "prm_score": asdict(interval),
        "f1": total.f1,
        "f1_invalid": total.f1_invalid,
        "groups": dict(score.groups),
        "classes": dict(score.classes),
        "step_accuracy": total.accuracy,
        "valid_step_accuracy": _rate(total.true_valid, total.false_invalid),
        "invalid_step_accuracy": _rate(total.true_invalid, total.false_valid),
        "first_error_accuracy": float(np.mean(counted.first_errors)) if counted.first_errors else None,
        "similarity": float(np.mean(similarities)) if similarities else None,
    }


def _overall(counts_N4: Doubles, weights_N: Doubles) -> float:
    true_valid, false_valid, true_invalid, false_invalid = map(int, weights_N @ counts_N4)
    return Confusion(true_valid, false_valid, true_invalid, false_invalid).score


def _row(counts: Confusion) -> tuple[int, int, int, int]:
    return counts.true_valid, counts.false_valid, counts.true_invalid, counts.false_invalid


def _rate(hits: int, misses: int) -> float | None:
    return hits / (hits + misses) if hits + misses else None


def _share(valid_S: Sequence[bool]) -> float:
    return sum(valid_S) / len(valid_S)
