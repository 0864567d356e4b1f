"""What labels a shard, opened from a plan: the method, the verifier, and the policy where rollouts are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepscore.errors import InvalidOption
from stepscore.open import open_scorer
from stepscore.policy import open_policy
from stepscore.rollout.sampler import Rollout, RolloutRequest, RolloutSampler
from stepscore.scoring import Scoring
from stepscore.verify.open import open_verifier
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.label.filtering import Consensus
from stepscore_service.jobs.label.methods.base import Method
from stepscore_service.jobs.label.methods.registry import needs_policy, open_method
from stepscore_service.jobs.label.plan import Plan
from stepscore_service.jobs.label.shard import Finished, Shard, label_shard

Told = Callable[[int], None]
"""Called with the number of rollouts that have just been made."""


def _silent(rollouts: int) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Tools:
    """sampler: None where the method needs no rollouts. judge: whose consensus is asked, where one is."""

    plan: Plan
    method: Method
    sampler: RolloutSampler | None
    judge: Scoring | None = None

    def label(self, shard: Shard) -> Finished:
        """Raises StepscoreError."""
        return label_shard(
            shard,
            self.method,
            self._sample,
            keep_rollouts=self.plan.keep_rollouts,
            drop_unsolved=self.plan.drop_unsolved,
            consensus=self._consensus(),
            error_below=self.plan.error_below,
        )

    def close(self) -> None:
        if self.sampler is not None:
            self.sampler.generator.close()
        if self.judge is not None:
            self.judge.close()

    def _consensus(self) -> Consensus | None:
        if self.judge is None:
            return None
        given = self.plan.threshold
        return Consensus(self.judge, self.judge.info.threshold if given is None else given, self.plan.error_below)

    def _sample(self, requests: Sequence[RolloutRequest]) -> Sequence[tuple[Rollout, ...]]:
        if self.sampler is None:
            raise InvalidOption(f"{self.method.name} asked for rollouts without a policy", option="method", known=[])
        return self.sampler.sample(requests)


def open_tools(plan: Plan, told: Told = _silent) -> Tools:
    """Raises StepscoreError (CheckpointError, InvalidOption, SandboxUnavailable) where something cannot be opened."""
    verifier = open_verifier(plan.verifier)
    method = open_method(plan.method, plan.options, verifier)
    judge = open_scorer(plan.consensus) if plan.consensus else None
    if not needs_policy(plan.method, plan.options.samples):
        return Tools(plan, method, None, judge)
    return Tools(plan, method, open_sampler(plan, verifier, told), judge)


def open_sampler(plan: Plan, verifier: Verifier, told: Told) -> RolloutSampler:
    generator, prompts = open_policy(plan.policy)
    return RolloutSampler(generator, verifier, prompts, plan.sampling, plan.seed, plan.at_once, told)
