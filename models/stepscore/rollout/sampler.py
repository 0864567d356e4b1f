"""Rollouts: a policy continues solutions from given prefixes, and each ending is verified.

A request asks for all rollouts of one prefix at once, so that its prompt is read once. The seed of a request comes
from the run's seed, the problem and the prefix alone, so rollouts do not depend on order or batching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from stepscore.errors import GeneratorError
from stepscore.generate.context import CONTEXT
from stepscore.generate.prompt import PromptWriter
from stepscore.generate.protocol import Completion, Generator, Request, Sampling, StopReason, derive_seed
from stepscore.verify.verifier import Truth, Verified, Verifier

Ending = Literal["right", "wrong", "unreadable", "truncated", "unstarted"]
"""unreadable: it states no answer of its own that can be judged. truncated: it ran out of tokens.
unstarted: its prefix fills the policy's context, so there is no rollout."""

ENDINGS: tuple[Ending, ...] = get_args(Ending)


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """n rollouts of a problem after a prefix. purpose: separates requests of one prefix, so that their seeds differ."""

    problem: str
    truth: Truth
    prefix: str
    n: int
    purpose: str = "rollout"


@dataclass(frozen=True, slots=True)
class Rollout:
    """text: what the policy wrote after the prefix. tokens: how many; words if the generator does not report them."""

    text: str
    ending: Ending
    stop_reason: StopReason
    tokens: int
    found: str | None = None


@dataclass(frozen=True, slots=True)
class RolloutCounts:
    """Rollouts of one prefix by how they ended; unstarted ones are not among `rollouts`."""

    right: int = 0
    wrong: int = 0
    unreadable: int = 0
    truncated: int = 0
    unstarted: int = 0

    @classmethod
    def of(cls, rollouts: Sequence[Rollout]) -> RolloutCounts:
        endings = [rollout.ending for rollout in rollouts]
        return cls(*(endings.count(ending) for ending in ENDINGS))

    @property
    def rollouts(self) -> int:
        return self.right + self.wrong + self.unreadable + self.truncated

    def value(self, *, judged_only: bool = False) -> float | None:
        """The share of right rollouts; None if there is none to take a share of.

        Unreadable and truncated ones count as not right, as in Math-Shepherd (arXiv:2312.08935); with `judged_only`
        they are left out, which makes the value too high for a policy whose wrong rollouts are the long ones.
        """
        whole = self.right + self.wrong if judged_only else self.rollouts
        return self.right / whole if whole else None


@dataclass(frozen=True, slots=True)
class RolloutSampler:
    """Answers requests with verified rollouts.

    sampling: without n and seed. at_once: completions of one call of the generator. on_progress: called with the
    number of rollouts after each call.
    """

    generator: Generator
    verifier: Verifier
    prompts: PromptWriter
    sampling: Sampling
    seed: int
    at_once: int = 64
    on_progress: Callable[[int], None] = lambda rollouts: None

    def sample(self, requests: Sequence[RolloutRequest]) -> list[tuple[Rollout, ...]]:
        """A tuple of n rollouts for each request, in order; equal requests get the same ones. Raises GeneratorError."""
        found: dict[RolloutRequest, tuple[Rollout, ...]] = {}
        for part in _parts(list(dict.fromkeys(requests)), self.at_once):
            completions = self._generate([self._prompt(request) for request in part])
            found |= {request: self._judge(request, each) for request, each in zip(part, completions, strict=True)}
            self.on_progress(sum(request.n for request in part))
        return [found[request] for request in requests]

    def _generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        """No completion at all for a prefix that fills the policy's context.

        Otherwise one long solution would end the run, and end it again at the same place.
        """
        try:
            return self.generator.generate(requests)
        except GeneratorError as error:
            if error.detail.get("reason") != CONTEXT:
                raise
        if len(requests) == 1:
            return [()]
        return [self._generate([request])[0] for request in requests]

    def _prompt(self, request: RolloutRequest) -> Request:
        seed = derive_seed(self.seed, request.purpose, request.problem, request.prefix)
        prompt = self.prompts.write(request.problem, request.prefix)
        return Request(prompt, replace(self.sampling, n=request.n, seed=seed))

    def _judge(self, request: RolloutRequest, completions: Sequence[Completion]) -> tuple[Rollout, ...]:
        if not completions:
            return (Rollout("", "unstarted", "length", 0),) * request.n
        ended = [completion.text for completion in completions if completion.stop_reason != "length"]
        verified = iter(self._verify(request, ended))
        return tuple(
            _rollout(completion, None if completion.stop_reason == "length" else next(verified))
            for completion in completions
        )

    def _verify(self, request: RolloutRequest, texts: Sequence[str]) -> list[Verified]:
        """The answer that each rollout gives alone, or begun by the prefix and finished by the rollout.

        An answer that the prefix gives alone is not the rollout's: if the whole text still has that answer, the
        rollout's own text decides. Tests run the whole text, whose parts are not programs.
        """
        if not texts:
            return []
        prefix, truth = request.prefix, request.truth
        whole = [prefix + text for text in texts]
        if truth.tests or not prefix.strip():
            return self.verifier.verify(whole, truth)
        of_prefix, *found = self.verifier.verify([prefix, *whole], truth)
        borrowed = [place for place, each in enumerate(found) if each.found in (None, of_prefix.found)]
        if borrowed:
            own = self.verifier.verify([texts[place] for place in borrowed], truth)
            for place, verified in zip(borrowed, own, strict=True):
                found[place] = verified
        return found


def _rollout(completion: Completion, verified: Verified | None) -> Rollout:
    tokens = len(completion.tokens) or len(completion.text.split())
    if verified is None:
        return Rollout(completion.text, "truncated", completion.stop_reason, tokens)
    return Rollout(completion.text, verified.outcome, completion.stop_reason, tokens, verified.found)


def _parts(requests: Sequence[RolloutRequest], at_once: int) -> Iterator[list[RolloutRequest]]:
    """Consecutive requests of about `at_once` rollouts together; a request is never divided."""
    part: list[RolloutRequest] = []
    for request in requests:
        if part and sum(each.n for each in part) + request.n > at_once:
            yield part
            part = []
        part.append(request)
    if part:
        yield part
