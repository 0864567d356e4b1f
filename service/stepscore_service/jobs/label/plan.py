"""What a labelling run was asked to do, as plain values: a worker on another machine opens the same tools from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stepscore.aggregate import check_threshold
from stepscore.checkpoint import checkpoint_facts
from stepscore.config import Device, DType
from stepscore.errors import InvalidOption
from stepscore.generate.policy import Policy
from stepscore.generate.protocol import Sampling
from stepscore.scoring.open import family_of
from stepscore_service.jobs.label.methods.registry import CHECK
from stepscore_service.jobs.label.options import FilterOptions, MethodOptions, PolicyOptions

SOFT = ("monte-carlo", "omega")
"""Methods that estimate a value for each label that they give."""


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """sampling: of rollouts and of solutions. at_once: rollouts of one call of the generator."""

    method: MethodOptions
    policy: Policy
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    at_once: int = 64
    filters: FilterOptions = field(default_factory=FilterOptions)
    keep_rollouts: bool = False

    def check(self) -> None:
        """Raises InvalidOption if the values contradict each other, InvalidThreshold, CheckpointError."""
        self.policy.check()
        if self.method.labels == "soft" and self.method.name not in SOFT:
            raise InvalidOption(f"{self.method.name} has no soft labels", option="labels", known=list(SOFT))
        if self.filters.consensus and self.method.name == "omega":
            raise InvalidOption(
                "--consensus compares first errors, and a row of omega labels one step only",
                option="consensus",
                known=[],
            )
        if self.filters.drop_unsolved and self.method.name.startswith(CHECK):
            raise InvalidOption(f"{self.method.name} makes no rollouts to drop by", option="drop_unsolved", known=[])
        self._check_threshold()

    def _check_threshold(self) -> None:
        threshold, judge = self.filters.threshold, self.filters.consensus
        if threshold is not None and not judge:
            raise InvalidOption("--threshold is for the model of --consensus", option="threshold", known=[])
        if threshold is not None:
            check_threshold(threshold, family_of(judge).reward_range)

    def identity(self) -> dict[str, Any]:
        """What the labels depend on, besides the input. Batch sizes and hardware are not part of it."""
        record = {**asdict(self), "policy": asdict(self.policy) | {"revision": self.policy.revision}}
        judge = self.filters.consensus
        record["consensus_revision"] = checkpoint_facts(judge).revision if judge else None
        for name in ("device", "gpus"):
            del record["policy"][name]
        del record["at_once"]
        return record


def plan_of(
    method: MethodOptions,
    policy: PolicyOptions,
    place: tuple[Device, DType, int, int],
    filters: FilterOptions,
    *,
    keep_rollouts: bool = False,
) -> LabelPlan:
    """The plan of these options. place: where the policy runs, its longest sequence in tokens, and how many GPUs."""
    return LabelPlan(
        method,
        Policy(policy.generator, policy.model, policy.prompt, *place),
        Sampling(1, policy.rollout_tokens, policy.temperature, policy.top_p, policy.top_k, policy.stop),
        policy.seed,
        policy.at_once,
        filters,
        keep_rollouts,
    )


def versions(names: Sequence[str] = ("stepscore", "torch", "transformers")) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in names}
