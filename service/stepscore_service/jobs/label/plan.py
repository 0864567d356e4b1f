"""What a labelling run was asked to do, as plain values: a worker on another machine opens the same tools from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stepscore.config import Device, DType
from stepscore.errors import InvalidOption
from stepscore.generate.prompt import HOLE
from stepscore.generate.protocol import Sampling
from stepscore.open import checkpoint_facts
from stepscore_service.jobs.label.methods.base import Options
from stepscore_service.jobs.label.methods.registry import CHECK

TRANSFORMERS = "transformers"
SOFT = ("monte-carlo", "omega")
"""Methods that estimate a value for each label that they give."""
CONTEXT = 4096
"""Tokens of prompt and rollout together where no checkpoint tells."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Where rollouts come from. generator: transformers, vllm or openai:URL[#NAME]. model: a folder or a Hub id.

    prompt: a template with {problem}; "" takes the chat template of the model's tokenizer, or a plain one.
    """

    generator: str = TRANSFORMERS
    model: str = ""
    prompt: str = ""
    device: Device = "auto"
    dtype: DType = "auto"
    max_tokens: int = 0
    gpus: int = 1

    @property
    def in_process(self) -> bool:
        return not self.generator.startswith("openai:")


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
        policy = self.policy
        if self.options.kind == "soft" and self.method not in SOFT:
            raise InvalidOption(f"{self.method} has no soft labels", option="labels", known=list(SOFT))
        if policy.prompt and HOLE not in policy.prompt:
            raise InvalidOption(f"--prompt holds no {HOLE}", option="prompt", known=[HOLE])
        if self.consensus and self.method == "omega":
            raise InvalidOption(
                "--consensus compares first errors, and a row of omega labels one step only",
                option="consensus",
                known=[],
            )
        if self.drop_unsolved and self.method.startswith(CHECK):
            raise InvalidOption(f"{self.method} makes no rollouts to drop by", option="drop_unsolved", known=[])
        if policy.in_process and policy.generator not in (TRANSFORMERS, "vllm"):
            known = [TRANSFORMERS, "vllm", "openai:URL#NAME"]
            raise InvalidOption(
                f"{policy.generator!r} is no generator; choose one of {', '.join(known)}",
                option="generator",
                known=known,
            )

    def identity(self) -> dict[str, Any]:
        """What the labels depend on, besides the input. Sizes of calls and kinds of hardware are no part of it."""
        told = {**asdict(self), "policy": asdict(self.policy) | {"revision": self._revision()}}
        told["consensus_revision"] = checkpoint_facts(self.consensus).revision if self.consensus else None
        for name in ("device", "gpus"):
            del told["policy"][name]
        del told["at_once"]
        return told

    def _revision(self) -> str | None:
        """Which weights the policy has; None where a server has them."""
        policy = self.policy
        return checkpoint_facts(policy.model).revision if policy.in_process and policy.model else None


def versions(names: Sequence[str] = ("stepscore", "torch", "transformers")) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in names}
