"""What the solutions of a file add up to: a few numbers of each are held, and the texts of the worst only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nsmallest

from stepscore_service.jobs.runs.source import JsonRow
from stepscore_service.jobs.score.report.solutions import ReportedSolution, solutions_of

WORST = 20
TENTHS = 10
SHOWN_AGGREGATES = ("min", "mean", "prod", "last")
MOST_GROUPS = 5
OTHERS = "others"


@dataclass
class GroupNumbers:
    """scores: of the solutions. lengths: their steps. by_tenth: number and sum of rewards in each tenth of a solution.

    aggregates: by name, the steps and the aggregate of each solution that has it. first_errors: how many have one, of
    those that were judged by a threshold.
    """

    scores: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    by_tenth: list[list[float]] = field(default_factory=lambda: [[0, 0.0] for _ in range(TENTHS)])
    aggregates: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    first_errors: int = 0
    judged: int = 0

    def add(self, solution: ReportedSolution) -> None:
        count = len(solution.rewards)
        self.scores.append(solution.score)
        self.lengths.append(count)
        self.first_errors += solution.first_error is not None
        self.judged += solution.judged
        for place, reward in enumerate(solution.rewards):
            held = self.by_tenth[(2 * place + 1) * TENTHS // (2 * count)]  # where the middle of the step is
            held[0] += 1
            held[1] += reward
        for name in SHOWN_AGGREGATES:
            if name in solution.aggregates:
                self.aggregates[name].append((count, solution.aggregates[name]))

    def merge(self, other: GroupNumbers) -> None:
        self.scores += other.scores
        self.lengths += other.lengths
        self.first_errors += other.first_errors
        self.judged += other.judged
        for mine, theirs in zip(self.by_tenth, other.by_tenth, strict=True):
            mine[0] += theirs[0]
            mine[1] += theirs[1]
        for name, values in other.aggregates.items():
            self.aggregates[name] += values

    @property
    def mean(self) -> float:
        return sum(self.scores) / len(self.scores)

    @property
    def share_with_first_error(self) -> float | None:
        """None if no solution was judged by a threshold, as in the output of `stepscore rerank`."""
        return self.first_errors / self.judged if self.judged else None


@dataclass
class ReportNumbers:
    """by: the column that the solutions are split by, or "". errors: rows without a result, by code."""

    by: str = ""
    rows: int = 0
    groups: dict[str, GroupNumbers] = field(default_factory=lambda: defaultdict(GroupNumbers))
    errors: Counter[str] = field(default_factory=Counter)
    worst: list[ReportedSolution] = field(default_factory=list)
    models: Counter[str] = field(default_factory=Counter)

    def add(self, row: JsonRow) -> None:
        """Raises InvalidInput for a row that is not a result."""
        self.rows += 1
        if isinstance(row.get("error"), dict):
            self.errors[str(row["error"].get("code"))] += 1
            return
        found = list(solutions_of(row, self.by))
        for solution in found:
            self.groups[solution.group].add(solution)
        self.models[f"{row.get('model')} · revision {row.get('revision')} · {row.get('dtype')}"] += 1
        self.worst = nsmallest(WORST, [*self.worst, *found], key=lambda each: each.score)

    def whole(self) -> GroupNumbers:
        """All groups together."""
        return merge_groups(self.groups.values())

    def shown_groups(self) -> dict[str, GroupNumbers]:
        """The largest groups, and the others as one."""
        ordered = sorted(self.groups.items(), key=lambda each: (-len(each[1].scores), each[0]))
        found = dict(ordered[:MOST_GROUPS])
        if rest := [numbers for _, numbers in ordered[MOST_GROUPS:]]:
            found[OTHERS] = merge_groups(rest)
        return found


def merge_groups(groups: Iterable[GroupNumbers]) -> GroupNumbers:
    whole = GroupNumbers()
    for group in groups:
        whole.merge(group)
    return whole
