"""A policy by script for the labelling tests: what it writes follows from the prefix and the seed alone.

A step that says BAD spoils a solution: nothing behind it is ever right. The answer of every problem is 7.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepscore.generate.policy import Policy
from stepscore.generate.prompt import PlainPrompt
from stepscore.generate.protocol import Completion, GeneratorInfo, Prompt, Request, Sampling
from stepscore.rollout.sampler import RolloutSampler
from stepscore.verify.open import open_verifier
from stepscore_service.jobs.label.labeller import Labeller, OnProgress
from stepscore_service.jobs.label.methods.registry import open_method
from stepscore_service.jobs.label.options import MethodOptions
from stepscore_service.jobs.label.plan import LabelPlan

RIGHT, WRONG, MUTE = "The answer is 7.", "The answer is 8.", "I do not know."
Written = tuple[str, str]
"""A text and its stop reason."""


def write(prefix: str, number: int, rng: random.Random) -> Written:
    """Right seven times of ten behind a sound prefix; the wrong ones say BAD in their second step."""
    del number
    if "BAD" in prefix:
        return f"So it goes on.\n{WRONG}", "stop"
    if rng.random() < 0.7:
        return f"We add.\nWe add again.\n{RIGHT}", "stop"
    return f"We add.\nBAD step here.\nWe go on.\n{WRONG}", "stop"


@dataclass
class ScriptedPolicy:
    """A Generator. sizes: rollouts of each call; requests: everything it was asked."""

    script: Callable[[str, int, random.Random], Written] = write
    sizes: list[int] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    closed: bool = False
    info = GeneratorInfo("scripted", "none", "float32", 4096)
    tokens = 0

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        self.requests += requests
        self.sizes.append(sum(request.sampling.n for request in requests))
        return [self._answer(request.prompt, request.sampling) for request in requests]

    def continuations(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True

    def _answer(self, prompt: Prompt, sampling: Sampling) -> tuple[Completion, ...]:
        prefix = str(prompt).split("Answer:\n", 1)[1]
        texts = [self.script(prefix, n, random.Random(f"{prompt} {sampling.seed} {n}")) for n in range(sampling.n)]
        return tuple(Completion(text, reason) for text, reason in texts)  # type: ignore[arg-type]


def plan(method: str = "monte-carlo", **options: Any) -> LabelPlan:
    return LabelPlan(MethodOptions(method, **options), Policy())


def scripted(plan: LabelPlan, on_progress: OnProgress, policy: ScriptedPolicy | None = None) -> Labeller:
    """As `open_labeller`, with the scripted policy."""
    verifier = open_verifier(plan.method.verifier)
    method = open_method(plan.method, verifier)
    policy = policy or ScriptedPolicy()
    sampler = RolloutSampler(policy, verifier, PlainPrompt(), plan.sampling, plan.seed, plan.at_once, on_progress)
    return Labeller(plan, method, sampler)


def row(number: int, *steps: str) -> dict[str, Any]:
    solution = {"steps": list(steps)} if steps else {}
    return {"id": f"p{number}", "problem": f"Problem {number}: 3 + 4?", "answer": "7", **solution}


def wrong_at(place: int, count: int) -> list[str]:
    """Steps with the error at `place`; none where place is count."""
    steps = [f"Step number {n}." for n in range(count - 1)]
    steps.append(RIGHT if place >= count else WRONG)
    if place < count - 1:
        steps[place] = "This is BAD."
    return steps
