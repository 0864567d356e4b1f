"""The PRM of a search: nodes in, their rewards and scores set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from stepscore.aggregate import aggregate
from stepscore.errors import EngineDead, EngineError, InvalidInput, StepscoreError, UnscorableError
from stepscore.scoring.protocol import ModelInfo
from stepscore.search.tree import SearchNode
from stepscore.types import Reading, Solution


class StepRewards(Protocol):
    """Gives rewards to solutions: a scorer in this process, or a client of a running service."""

    info: ModelInfo

    def score(self, solutions: Sequence[Solution]) -> Sequence[Reading | StepscoreError]:
        """One reading, or the error of that solution, for each, in order. Raises EngineError for the whole call."""
        ...


class NodeRater:
    """Rates nodes. aggregate_: how step rewards become the score that methods compare; the model's own by default."""

    def __init__(self, rewards: StepRewards, aggregate_: str = "") -> None:
        self._rewards = rewards
        self._name = aggregate_ or rewards.info.aggregate
        aggregate([0.5], self._name, self.info.reward_range)

    @property
    def info(self) -> ModelInfo:
        return self._rewards.info

    def rate_each(self, nodes: Sequence[tuple[str, SearchNode]]) -> None:
        """Set rewards and score of each (problem, node), or fail the node. Equal solutions are scored once."""
        solutions = {node: Solution(problem, node.solution) for problem, node in nodes}
        unique = list(dict.fromkeys(solutions.values()))
        answers = dict(zip(unique, self._score(unique), strict=True))
        for node, solution in solutions.items():
            self._set(node, check_rewards(answers[solution], len(solution.steps)))

    def _score(self, solutions: Sequence[Solution]) -> Sequence[Reading | StepscoreError]:
        """If the whole call fails, each solution is tried alone, so that one cannot fail the others.

        After EngineDead nothing is tried again.
        """
        try:
            return self._rewards.score(solutions)
        except EngineDead as error:
            return [error] * len(solutions)
        except (EngineError, InvalidInput) as error:
            if len(solutions) == 1:
                return [error]
        return [self._score([solution])[0] for solution in solutions]

    def _set(self, node: SearchNode, answer: Reading | StepscoreError) -> None:
        if isinstance(answer, StepscoreError):
            node.fail(f"the PRM cannot score it: {answer.message}", answer)
            return
        node.rewards = tuple(answer.rewards)
        node.score = aggregate(answer.rewards, self._name, self.info.reward_range)


def check_rewards(answer: Reading | StepscoreError, steps: int) -> Reading | StepscoreError:
    """The answer, or the error of one that breaks the protocol: one finite reward for each step."""
    if isinstance(answer, StepscoreError):
        return answer
    if len(answer.rewards) != steps:
        return UnscorableError(f"{len(answer.rewards)} rewards came for {steps} steps")
    if not all(map(math.isfinite, answer.rewards)):
        return UnscorableError("a reward is not a finite number")
    return answer
