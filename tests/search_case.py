"""A policy and PRMs of known quality, so that what a search must reach can be computed.

A solution has `depth` steps. Each step is good with probability p, independently, and a solution is right if all of its
steps are good. Texts: "g17" or "b17" and a separator; the last step ends with the answer, \\boxed{1} or \\boxed{0}.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepscore.errors import StepscoreError
from stepscore.generate.protocol import Completion, GeneratorInfo, Request
from stepscore.scoring.protocol import ModelInfo
from stepscore.search.methods import search_method
from stepscore.search.policy import SEPARATOR, SearchPolicy, StepSampling
from stepscore.search.rating import NodeRater
from stepscore.search.searcher import Searcher, SearchProblem, SearchResult
from stepscore.types import PROBABILITY, Reading, Solution

RIGHT = "1"


class PlainText:
    def write(self, problem: str, prefix: str) -> str:
        return f"{problem}|{prefix}"


@dataclass
class DicePolicy:
    """Draws each step from the request's seed alone."""

    p: float
    depth: int
    tokens: int = 0
    calls: int = 0

    @property
    def info(self) -> GeneratorInfo:
        return GeneratorInfo("dice", "cpu", "none", 10_000)

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        self.calls += 1
        return [tuple(self._complete(request, i) for i in range(request.sampling.n)) for request in requests]

    def _complete(self, request: Request, sample: int) -> Completion:
        assert isinstance(request.prompt, str)
        digest = hashlib.sha256(f"{request.prompt} {request.sampling.seed} {sample}".encode()).digest()
        dice = random.Random(digest)
        prefix = request.prompt.partition("|")[2]
        done, good = prefix.count(SEPARATOR), "b" not in prefix
        text = ""
        while done < self.depth:
            step_good = dice.random() < self.p
            good, done = good and step_good, done + 1
            text += f"{'g' if step_good else 'b'}{dice.randrange(10**9)}"
            if done == self.depth:
                return Completion(text + f" \\boxed{{{int(good)}}}", "stop")
            text += SEPARATOR
            if request.sampling.stop:
                return Completion(text, "stop")
        return Completion("", "stop")

    def continuations(self, prompt, choices):
        raise NotImplementedError

    def close(self) -> None:
        pass


Reward = Callable[[Sequence[str]], float]


def oracle(steps: Sequence[str]) -> float:
    """1 as long as every step is good."""
    return 0.0 if any(step.startswith("b") for step in steps) else 1.0


def noise(steps: Sequence[str]) -> float:
    """A number that has nothing to do with the steps' quality."""
    return random.Random("".join(step[1:] for step in steps)).random()


@dataclass
class FormulaPrm:
    """Rewards of prefixes by a formula. solutions: how many it was asked to score."""

    reward: Reward
    solutions: int = 0

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(*("prm", "f", "r", PROBABILITY, "last", 0.5, "", 1000, 1000, "e", "cpu", "float32", "fast"))

    def score(self, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]:
        self.solutions += len(solutions)
        return [
            Reading(tuple(self.reward(solution.steps[: place + 1]) for place in range(len(solution.steps))), ())
            for solution in solutions
        ]


def searcher(policy, prm, method: str, policy_options: StepSampling | None = None, **options) -> Searcher:
    """A searcher over a policy and a PRM; keywords of Searcher are passed on, all others go to the method."""
    named = {"final_aggregate", "choice", "budget", "seed", "in_flight", "stop", "on_event"}
    own = {key: options.pop(key) for key in list(options) if key in named}
    chosen = search_method(method, options)
    sampler = SearchPolicy(policy, PlainText(), policy_options or StepSampling())
    return Searcher(sampler, NodeRater(prm, chosen.aggregate), chosen, **own)


def problems(count: int) -> list[SearchProblem]:
    return [SearchProblem(str(number), f"problem {number}") for number in range(count)]


def accuracy(results: Sequence[SearchResult]) -> float:
    return sum(result.answer == RIGHT for result in results) / len(results)
