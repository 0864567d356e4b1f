"""What labels a shard, opened from a plan: the method, the verifier, and the policy where rollouts are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stepscore.config import CheckpointFacts
from stepscore.engine.placement import choose_device, choose_dtype
from stepscore.errors import CheckpointError, InvalidOption
from stepscore.generate.open import open_generator
from stepscore.generate.prompt import CHAT, PLAIN, ChatPrompt, PlainPrompt, PromptWriter
from stepscore.generate.protocol import Generator
from stepscore.open import checkpoint_facts, open_scorer
from stepscore.rollout.sampler import Rollout, RolloutRequest, RolloutSampler
from stepscore.scoring import Scoring
from stepscore.text.tokenizer import StepTokenizer
from stepscore.verify.open import open_verifier
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.label.filtering import Consensus
from stepscore_service.jobs.label.methods.base import Method
from stepscore_service.jobs.label.methods.registry import needs_policy, open_method
from stepscore_service.jobs.label.plan import CONTEXT, TRANSFORMERS, Plan, Policy
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


def open_policy(policy: Policy) -> tuple[Generator, PromptWriter]:
    """Raises CheckpointError where the model cannot be opened or none is named for a generator in process."""
    if policy.in_process and not policy.model:
        raise CheckpointError(f"the generator {policy.generator} needs --model, the policy's folder or Hub id")
    facts = checkpoint_facts(policy.model, weights=policy.in_process) if policy.model else None
    device = choose_device(policy.device)
    generator = open_generator(
        "" if policy.generator == TRANSFORMERS else policy.generator,
        facts.path if facts else Path(),
        model=facts.name if facts else "",
        device=device,
        dtype=choose_dtype(policy.dtype, device),
        max_tokens=policy.max_tokens or (facts.max_tokens if facts else CONTEXT),
        tensor_parallel_size=policy.gpus,
    )
    return generator, prompts_of(policy.prompt, facts)


def prompts_of(template: str, facts: CheckpointFacts | None) -> PromptWriter:
    """The model's own chat template where its tokenizer has one, else the problem as plain text."""
    tokenizer = None
    if facts is not None:
        with suppress(CheckpointError):  # a server's name may stand for a model whose tokenizer is not here
            tokenizer = StepTokenizer.open(str(facts.path)).inner
    if tokenizer is not None and tokenizer.chat_template:
        return ChatPrompt(tokenizer, template or CHAT)
    return PlainPrompt(template or PLAIN)
