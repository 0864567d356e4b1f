"""Running searches: many problems in flight, one call of the policy and one of the PRM at a time, side by side.

Each running problem waits for its policy or for its PRM. When one of the two is free, everything that waits for it
becomes one call. A problem that fails ends with an error of its own; the others continue.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Literal

from stepscore.aggregate import aggregate, check_threshold
from stepscore.errors import InvalidOption, StepscoreError
from stepscore.generate.protocol import derive_seed
from stepscore.search.choice import (
    BY_SCORE,
    CHOICE_RULES,
    SearchCandidate,
    SearchChoice,
    answer_weights,
    candidates_of,
    choose,
)
from stepscore.search.commands import GrowNodes, NewNodes, RateNodes, SearchTask
from stepscore.search.methods import MethodContext, SearchMethod
from stepscore.search.policy import Growth, SearchPolicy
from stepscore.search.rating import NodeRater
from stepscore.search.tree import SearchNode, complete_nodes, new_root

StopCause = Literal["done", "tokens", "rounds", "seconds", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class SearchProblem:
    """key: names it in results and in nothing else."""

    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class SearchBudget:
    """What one problem may spend; 0 sets no limit. tokens: of the policy. rounds: calls of the policy. seconds: since
    its start. A search that reaches a limit ends with the solutions that are finished by then.
    """

    tokens: int = 0
    rounds: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What became of one problem.

    candidates: in the method's order. stopped: why it ended. policy_tokens: sampled. rated: solutions or prefixes that
    the PRM scored. error: the policy's failure, or the PRM's if it left no solution to choose.
    """

    problem: SearchProblem
    root: SearchNode
    candidates: tuple[SearchCandidate, ...]
    choice: SearchChoice
    stopped: StopCause
    policy_tokens: int
    rounds: int
    rated: int
    seconds: float
    error: StepscoreError | None = None

    @property
    def answer(self) -> str | None:
        return None if self.choice.chosen is None else self.candidates[self.choice.chosen].answer

    @property
    def reason(self) -> str:
        """Why there is no solution; "" if there is one."""
        if self.choice.chosen is not None:
            return ""
        if self.error is not None:
            return self.error.message
        failed = Counter(node.reason for node in self.root.walk() if node.status == "failed")
        if failed:
            return "no branch can be used: " + ", ".join(f"{reason} ({count})" for reason, count in failed.items())
        if self.stopped == "done":
            return "no branch came to an end"
        return f"no solution was finished when the search stopped ({self.stopped}); raise the budget"

    @property
    def text(self) -> str | None:
        return None if self.choice.chosen is None else self.candidates[self.choice.chosen].text


@dataclass(eq=False, slots=True)
class _Running:
    """One problem on its way. command: what it waits for."""

    problem: SearchProblem
    root: SearchNode
    task: SearchTask[list[SearchNode]]
    started: float
    command: GrowNodes | RateNodes | None = None
    tokens: int = 0
    rounds: int = 0
    rated: int = 0


_Calls = dict[type, tuple[Future[list[Growth]], list[_Running]]]
"""The calls that run, at most one of each kind, and who waits for them."""


@dataclass(frozen=True, slots=True)
class Searcher:
    """Searches with one method.

    final_aggregate: of step rewards, for the choice among candidates. choice: the rule. in_flight: problems at once.
    stop: set it to end every running problem before its next call; finished solutions are kept.
    on_event: called with (problem, new or rated nodes) after each call, on the caller's thread.
    """

    policy: SearchPolicy
    rater: NodeRater
    method: SearchMethod
    final_aggregate: str = ""
    choice: str = ""
    budget: SearchBudget = SearchBudget()
    seed: int = 0
    in_flight: int = 8
    stop: threading.Event = field(default_factory=threading.Event)
    on_event: Callable[[SearchProblem, list[SearchNode]], None] = lambda problem, nodes: None

    def __post_init__(self) -> None:
        """Raises InvalidOption for a choice that does not exist or needs scores that the method does not ask for, and
        for a method of probabilities with a PRM that gives other numbers; UnknownAggregate, UndefinedAggregate and
        InvalidThreshold.
        """
        info = self.rater.info
        if self.method.probabilities and info.reward_range.kind != "probability":
            raise InvalidOption(
                f"{self.method.name} takes rewards for probabilities, and those of {info.id} are none; choose another "
                "method or model",
                option="method",
            )
        rule = self.choice or self.method.choice
        if rule not in CHOICE_RULES:
            raise InvalidOption(f"no choice is called {rule!r}; there are {', '.join(CHOICE_RULES)}", option="choice")
        if rule in BY_SCORE and not self.method.scored:
            raise InvalidOption(
                f"{self.method.name} asks for no scores, so that it cannot choose by {rule}", option="choice"
            )
        aggregate([0.5], self.final_aggregate or info.aggregate, info.reward_range)
        check_threshold(getattr(self.method.options, "threshold", info.threshold), info.reward_range)

    def run(self, problems: Iterable[SearchProblem]) -> Iterator[SearchResult]:
        """A result for every problem that was begun, in the order in which they end."""
        waiting, running = iter(problems), list[_Running]()
        calls: _Calls = {}
        with ThreadPoolExecutor(2, thread_name_prefix="search") as pool:
            while True:
                yield from self._begin(waiting, running)
                if not running:
                    return
                self._call(pool, running, calls)
                wait([future for future, _ in calls.values()], return_when=FIRST_COMPLETED)
                yield from self._collect(running, calls)

    def _begin(self, waiting: Iterator[SearchProblem], running: list[_Running]) -> Iterator[SearchResult]:
        """Fill up what runs; a problem that ends at once is a result."""
        while len(running) < self.in_flight and not self.stop.is_set():
            problem = next(waiting, None)
            if problem is None:
                return
            root = new_root()
            task = self.method.run(root, MethodContext(self._random(problem), self._weights))
            each = _Running(problem, root, task, time.monotonic())
            running.append(each)
            yield from self._advance(each, None, running)

    def _call(
        self,
        pool: ThreadPoolExecutor,
        running: list[_Running],
        calls: _Calls,
    ) -> None:
        """Start a call of the policy and of the PRM, if they are free and something waits for them."""
        for kind, call in ((GrowNodes, self._grow), (RateNodes, self._rate)):
            ready = [each for each in running if isinstance(each.command, kind)]
            if ready and kind not in calls:
                calls[kind] = (pool.submit(call, ready), ready)

    def _collect(self, running: list[_Running], calls: _Calls) -> Iterator[SearchResult]:
        for kind in [kind for kind, (future, _) in calls.items() if future.done()]:
            future, ready = calls.pop(kind)
            for each, answer in zip(ready, future.result(), strict=True):
                yield from self._advance(each, answer, running)

    def _grow(self, ready: list[_Running]) -> list[Growth]:
        return self.policy.grow_each(
            [(each.problem.problem, each.command) for each in ready if isinstance(each.command, GrowNodes)]
        )

    def _rate(self, ready: list[_Running]) -> list[Growth]:
        self.rater.rate_each(
            [
                (each.problem.problem, node)
                for each in ready
                if isinstance(each.command, RateNodes)
                for node in each.command.nodes
            ]
        )
        return [[] for _ in ready]

    def _advance(self, each: _Running, answer: Growth | None, running: list[_Running]) -> Iterator[SearchResult]:
        """Hand an answer to a problem's method; its result, if it ends with that."""
        if isinstance(answer, StepscoreError):
            running.remove(each)
            yield self._result(each, complete_nodes(each.root), "error", answer)
            return
        self._count(each, answer or [])
        grew, over = isinstance(each.command, GrowNodes), self._over(each)
        try:
            if over is None or (grew and over != "cancelled"):
                each.command = next(each.task) if answer is None else each.task.send(answer)
                if over is None or self._rates_last(each):
                    return
            nodes = complete_nodes(each.root)
        except StopIteration as end:  # how a generator returns
            nodes, over = end.value, "done"
        running.remove(each)
        yield self._result(each, nodes, over, None)

    def _rates_last(self, each: _Running) -> bool:
        """Whether a problem whose budget is spent waits for the PRM once more, so that what was sampled is rated."""
        if isinstance(each.command, GrowNodes):
            unrated = [node for node in complete_nodes(each.root) if node.score is None] if self.method.scored else []
            each.command = RateNodes(tuple(unrated)) if unrated else None
        return each.command is not None

    def _count(self, each: _Running, answer: NewNodes) -> None:
        command = each.command
        if isinstance(command, GrowNodes):
            nodes = [node for new in answer for node in new]
            each.tokens += sum(node.tokens for node in nodes)
            each.rounds += 1
        elif isinstance(command, RateNodes):
            nodes = list(command.nodes)
            each.rated += len(nodes)
        else:
            return
        self.on_event(each.problem, nodes)

    def _over(self, each: _Running) -> StopCause | None:
        """Why a problem must end now."""
        budget = self.budget
        if self.stop.is_set():
            return "cancelled"
        if budget.tokens and each.tokens >= budget.tokens:
            return "tokens"
        if budget.rounds and each.rounds >= budget.rounds:
            return "rounds"
        if budget.seconds and time.monotonic() - each.started >= budget.seconds:
            return "seconds"
        return None

    def _result(
        self, each: _Running, nodes: list[SearchNode], stopped: StopCause, error: StepscoreError | None
    ) -> SearchResult:
        name, range_ = self.final_aggregate or self.rater.info.aggregate, self.rater.info.reward_range
        candidates = candidates_of(nodes, name, range_)
        choice = choose(candidates, self.choice or self.method.choice, name, range_)
        if choice.chosen is None and error is None:
            error = next((node.error for node in each.root.walk() if node.error is not None), None)
            stopped = stopped if error is None else "error"
        counts = (each.tokens, each.rounds, each.rated, time.monotonic() - each.started)
        return SearchResult(each.problem, each.root, tuple(candidates), choice, stopped, *counts, error)

    def _random(self, problem: SearchProblem) -> random.Random:
        return random.Random(derive_seed(self.seed, "search", problem.problem))

    def _weights(self, nodes: Sequence[SearchNode]) -> list[float]:
        return answer_weights(nodes, self.final_aggregate or self.rater.info.aggregate, self.rater.info.reward_range)


def trace_of(result: SearchResult) -> dict[str, Any]:
    """The tree and the outcome, ready for JSON. Nodes are in the order of a walk; `parent` is an index among them."""
    nodes = list(result.root.walk())
    places = {id(node): place for place, node in enumerate(nodes)}
    return {
        "id": result.problem.key,
        "problem": result.problem.problem,
        "nodes": [_node(node, places) for node in nodes],
        "candidates": [
            {"node": places[id(each.node)], "score": each.score, "answer": each.answer} for each in result.candidates
        ],
        "chosen": result.choice.chosen,
        "stopped": result.stopped,
        "policy_tokens": result.policy_tokens,
        "rounds": result.rounds,
        "rated": result.rated,
    }


def _node(node: SearchNode, places: dict[int, int]) -> dict[str, Any]:
    return {
        "parent": None if node.parent is None else places[id(node.parent)],
        "text": node.text,
        "status": node.status,
        "reason": node.reason,
        "tokens": node.tokens,
        "reward": node.rewards[-1] if node.rewards else None,
        "score": node.score,
        "visits": node.visits,
        "value": node.mean_value,
    }
