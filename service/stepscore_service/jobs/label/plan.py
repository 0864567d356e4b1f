"""What a labelling run was asked to do, as plain values: a worker on another machine opens the same tools from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stepscore.errors import InvalidOption
from stepscore.generate.protocol import Sampling
from stepscore.open import checkpoint_facts
from stepscore.policy import Policy
from stepscore_service.jobs.label.methods.base import Options
from stepscore_service.jobs.label.methods.registry import CHECK

SOFT = ("monte-carlo", "omega")
"""Methods that estimate a value for each label that they give."""


@dataclass(frozen=True, slots=True)
class Plan:
    """sampling: of rollouts and of solutions. at_once: rollouts of one call of the generator. consensus: a judge.

    drop_unsolved: rows of problems of which no rollout is right are put apart. error_below: labels under it are errors
    when errors are counted and compared; 0 always is.
    """

    method: str
    options: Options
    policy: Policy
    verifier: str = "math"
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    at_once: int = 64
    keep_rollouts: bool = False
    consensus: str = ""
    threshold: float | None = None
    drop_unsolved: bool = False
    error_below: float = 0.0

    def check(self) -> None:
        """Raises InvalidOption where the values do not go together."""
        self.policy.check()
        if self.options.kind == "soft" and self.method not in SOFT:
            raise InvalidOption(f"{self.method} has no soft labels", option="labels", known=list(SOFT))
        if self.consensus and self.method == "omega":
            raise InvalidOption(
                "--consensus compares first errors, and a row of omega labels one step only",
                option="consensus",
                known=[],
            )
        if self.drop_unsolved and self.method.startswith(CHECK):
            raise InvalidOption(f"{self.method} makes no rollouts to drop by", option="drop_unsolved", known=[])

    def identity(self) -> dict[str, Any]:
        """What the labels depend on, besides the input. Sizes of calls and kinds of hardware are no part of it."""
        told = {**asdict(self), "policy": asdict(self.policy) | {"revision": self.policy.revision}}
        told["consensus_revision"] = checkpoint_facts(self.consensus).revision if self.consensus else None
        for name in ("device", "gpus"):
            del told["policy"][name]
        del told["at_once"]
        return told


def versions(names: Sequence[str] = ("stepscore", "torch", "transformers")) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in names}
