"""Rollouts: a policy continues solutions from given prefixes, and each ending is verified.

A request asks for all rollouts of one prefix at once, so that its prompt is read once. The seed of a request comes
from the run's seed, the problem and the prefix alone: neither order nor company changes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from stepscore.errors import GeneratorError
from stepscore.generate.context import CONTEXT
from stepscore.generate.prompt import PromptWriter
from stepscore.generate.protocol import Completion, Generator, Request, Sampling, StopReason
from stepscore.verify.verifier import Truth, Verified, Verifier

Ending = Literal["right", "wrong", "unreadable", "truncated"]
"""truncated: it ran out of tokens. Only `wrong` counts against a step; unreadable and truncated count neither way."""


@dataclass(frozen=True, slots=True)
class Ask:
    """n rollouts of a problem behind a prefix. purpose: tells asks of one prefix apart, so that their seeds differ."""

    problem: str
    truth: Truth
    prefix: str
    n: int
    purpose: str = "rollout"


@dataclass(frozen=True, slots=True)
class Rollout:
    """text: what was written behind the prefix. tokens: how many, words where the generator does not tell."""

    text: str
    ending: Ending
    stop_reason: StopReason
    tokens: int
    found: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Rollouts of one prefix by how they ended."""

    right: int = 0
    wrong: int = 0
    unreadable: int = 0
    truncated: int = 0

    @property
    def judged(self) -> int:
        return self.right + self.wrong

    @property
    def rollouts(self) -> int:
        return self.judged + self.unreadable + self.truncated

    @property
    def value(self) -> float | None:
        """The share of right ones among those that could be judged; None where none could."""
        return self.right / self.judged if self.judged else None


def counted(rollouts: Sequence[Rollout]) -> Counts:
    endings = [rollout.ending for rollout in rollouts]
    return Counts(*(endings.count(ending) for ending in ("right", "wrong", "unreadable", "truncated")))


@dataclass(frozen=True, slots=True)
class Roller:
    """Turns asks into rollouts. sampling: without n and seed. at_once: completions of one call of the generator.

    told: called with the number of rollouts after each call.
    """

    generator: Generator
    verifier: Verifier
    prompts: PromptWriter
    sampling: Sampling
    seed: int
    at_once: int = 64
    told: Callable[[int], None] = lambda rollouts: None

    def roll(self, asks: Sequence[Ask]) -> list[tuple[Rollout, ...]]:
        """One tuple of n rollouts for each ask, in order; equal asks have the same ones. Raises GeneratorError."""
        rolled: dict[Ask, tuple[Rollout, ...]] = {}
        for part in _parts(list(dict.fromkeys(asks)), self.at_once):
            answers = self._answers([self._request(ask) for ask in part])
            rolled |= {ask: self._verified(ask, answer) for ask, answer in zip(part, answers, strict=True)}
            self.told(sum(ask.n for ask in part))
        return [rolled[ask] for ask in asks]

    def _answers(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        """A prefix that fills the policy's context has no room for a rollout: all of its rollouts are cut off at once.

        Otherwise one long solution would end the run, and end it again at the same place.
        """
        try:
            return self.generator.generate(requests)
        except GeneratorError as error:
            if error.detail.get("reason") != CONTEXT:
                raise
        if len(requests) == 1:
            return [(Completion("", "length"),) * requests[0].sampling.n]
        return [self._answers([request])[0] for request in requests]

    def _request(self, ask: Ask) -> Request:
        seed = derived_seed(self.seed, ask.purpose, ask.problem, ask.prefix)
        return Request(self.prompts.write(ask.problem, ask.prefix), replace(self.sampling, n=ask.n, seed=seed))

    def _verified(self, ask: Ask, completions: Sequence[Completion]) -> tuple[Rollout, ...]:
        ended = [completion.text for completion in completions if completion.stop_reason != "length"]
        verified = iter(self._outcomes(ask, ended))
        return tuple(
            _rollout(completion, None if completion.stop_reason == "length" else next(verified))
            for completion in completions
        )

    def _outcomes(self, ask: Ask, texts: Sequence[str]) -> list[Verified]:
        """The whole solutions are verified. One that is wrong only by what stands in the prefix is unreadable:

        a rollout that states nothing would otherwise be taken at some number of the steps before it.
        """
        if not texts:
            return []
        whole = self.verifier.verify([ask.prefix + text for text in texts], ask.truth)
        if ask.truth.tests or not ask.prefix or all(each.outcome != "wrong" for each in whole):
            return whole
        alone = self.verifier.verify(texts, ask.truth)
        pairs = zip(whole, alone, strict=True)
        return [own if one.outcome == "wrong" and own.outcome == "unreadable" else one for one, own in pairs]


def derived_seed(seed: int, *parts: str) -> int:
    """A number below 2**31, the same for the same run and texts on every machine."""
    digest = hashlib.sha256("\0".join((str(seed), *parts)).encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest()[:4], "big") >> 1


def _rollout(completion: Completion, verified: Verified | None) -> Rollout:
    tokens = len(completion.tokens) or len(completion.text.split())
    if verified is None:
        return Rollout(completion.text, "truncated", completion.stop_reason, tokens)
    return Rollout(completion.text, verified.outcome, completion.stop_reason, tokens, verified.found)


def _parts(asks: Sequence[Ask], at_once: int) -> Iterator[list[Ask]]:
    """Consecutive asks of about `at_once` rollouts together; an ask is never divided."""
    part: list[Ask] = []
    for ask in asks:
        if part and sum(each.n for each in part) + ask.n > at_once:
            yield part
            part = []
        part.append(ask)
    if part:
        yield part
