"""What labels shards, opened from a plan: the method, the verifier, the policy if rollouts are needed, the judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepscore.errors import InvalidOption
from stepscore.generate.policy import open_policy
from stepscore.rollout.sampler import Rollout, RolloutRequest, RolloutSampler
from stepscore.rollout.task import gather, run
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring
from stepscore.verify.open import open_verifier
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.data.labelled import to_row
from stepscore_service.jobs.label.filtering import ConsensusFilter, FilteredRows, drop_unsolved
from stepscore_service.jobs.label.methods.base import LabelMethod, TaskLabels
from stepscore_service.jobs.label.methods.registry import needs_policy, open_method
from stepscore_service.jobs.label.plan import LabelPlan
from stepscore_service.jobs.label.shard import (
    DROPPED,
    LABELS,
    ROLLOUTS,
    TREES,
    FinishedShard,
    Shard,
    counts_of,
    lines,
)
from stepscore_service.jobs.label.stats import RolloutStats, record, sum_totals
from stepscore_service.jobs.runs import console

OnProgress = Callable[[int], None]
"""Called with the number of rollouts that have just been made."""


def ignore_progress(rollouts: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Labeller:
    """sampler: None if the method needs no rollouts. judge: whose consensus is required; None if nobody's is."""

    plan: LabelPlan
    method: LabelMethod
    sampler: RolloutSampler | None
    judge: Scoring | None = None

    def label(self, shard: Shard) -> FinishedShard:
        """All tasks of a shard side by side; the same plan and shard give the same files. Raises StepscoreError."""
        stats = [RolloutStats(task.id, keep=self.plan.keep_rollouts) for task in shard.tasks]
        tasks = [record(self.method.label(task), each) for task, each in zip(shard.tasks, stats, strict=True)]
        labels = run(gather(tasks), self._sample)
        filtered = self._filter(labels, stats)
        files = {LABELS: lines(map(to_row, filtered.kept)), **_trees(labels)}
        if self.plan.filters.drop_unsolved or self.judge is not None:
            files[DROPPED] = lines(map(to_row, filtered.dropped))
        if self.plan.keep_rollouts:
            files[ROLLOUTS] = lines(row for each in stats for row in each.rows)
        counts = counts_of(filtered.kept, len(shard.tasks), self.plan.filters.error_below)
        totals = sum_totals([*(each.totals for each in stats), Counter(filtered.totals), Counter(counts)])
        return FinishedShard(shard.index, files, totals)

    def close(self) -> None:
        if self.sampler is not None:
            self.sampler.generator.close()
        if self.judge is not None:
            self.judge.close()

    def _filter(self, labels: Sequence[TaskLabels], stats: Sequence[RolloutStats]) -> FilteredRows:
        rows = [each.rows for each in labels]
        if self.plan.filters.drop_unsolved:
            filtered = drop_unsolved(rows, stats)
        else:
            filtered = FilteredRows([row for each in rows for row in each])
        if self.judge is None:
            return filtered
        given = self.plan.filters.threshold
        threshold = self.judge.info.threshold if given is None else given
        agreed = ConsensusFilter(self.judge, threshold, self.plan.filters.error_below).apply(filtered.kept)
        return FilteredRows(agreed.kept, filtered.dropped + agreed.dropped, {**filtered.totals, **agreed.totals})

    def _sample(self, requests: Sequence[RolloutRequest]) -> Sequence[tuple[Rollout, ...]]:
        if self.sampler is None:
            raise InvalidOption(f"{self.method.name} asked for rollouts without a policy", option="method", known=[])
        return self.sampler.sample(requests)


OpenLabeller = Callable[[LabelPlan, OnProgress], Labeller]


def open_labeller(plan: LabelPlan, on_progress: OnProgress = ignore_progress) -> Labeller:
    """Raises StepscoreError (CheckpointError, InvalidOption, SandboxUnavailable) if something cannot be opened."""
    verifier = open_verifier(plan.method.verifier)
    method = open_method(plan.method, verifier)
    judge = open_scorer(plan.filters.consensus) if plan.filters.consensus else None
    sampler = _open_sampler(plan, verifier, on_progress) if needs_policy(plan.method) else None
    return Labeller(plan, method, sampler, judge)


def _open_sampler(plan: LabelPlan, verifier: Verifier, on_progress: OnProgress) -> RolloutSampler:
    console.quiet_libraries()
    generator, prompts = open_policy(plan.policy)
    return RolloutSampler(generator, verifier, prompts, plan.sampling, plan.seed, plan.at_once, on_progress)


def _trees(labels: Sequence[TaskLabels]) -> dict[str, str]:
    trees = [each.tree for each in labels if each.tree is not None]
    return {TREES: lines(trees)} if trees else {}
