"""Searches inside the service: the policy on a thread, step rewards through the batcher of a served model.

A search is one more caller of `score`, so it shares batches and cached prefixes with every other request.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from stepscore.errors import StepscoreError
from stepscore.generate.policy import open_policy, policy_at
from stepscore.generate.prompt import PromptWriter
from stepscore.generate.protocol import Completion, Generator, GeneratorInfo, Request
from stepscore.search.methods import SearchMethod
from stepscore.search.policy import SearchPolicy, StepSampling
from stepscore.search.rating import NodeRater
from stepscore.search.searcher import SearchBudget, Searcher, SearchProblem, SearchResult
from stepscore.search.tree import SearchNode
from stepscore.types import Reading, Solution, SolutionRequest
from stepscore_service.batching.protocols import RequestContext
from stepscore_service.errors import Overloaded
from stepscore_service.logs import quiet_libraries
from stepscore_service.serving.model_pool import ServedModel
from stepscore_service.serving.scoring import resolve_options, score
from stepscore_service.settings import Settings

SEARCHES = 4
"""Searches at a time: the policy answers one call after another, so more would only wait."""
RETRY_SECONDS = 10


@dataclass(frozen=True, slots=True)
class ServedSearch:
    """method, and how the winner is chosen; "" leaves that to the method and the model."""

    method: SearchMethod
    aggregate: str
    choice: str
    budget: SearchBudget
    seed: int


class ServedRewards:
    """Step rewards from a served model, for a thread beside the event loop."""

    def __init__(self, served: ServedModel, context: RequestContext, loop: asyncio.AbstractEventLoop) -> None:
        self.info = served.info
        # The policy's version is not counted: parts of solutions would be compared with whole ones.
        self._served, self._context, self._loop = served, replace(context, policy_version=""), loop

    def score(self, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]:
        requests = [SolutionRequest(solution.problem, solution.steps) for solution in solutions]
        options = resolve_options(self.info)
        answers = score(self._served, requests, self._context, options)
        results = asyncio.run_coroutine_threadsafe(answers, self._loop).result()
        return [each if isinstance(each, StepscoreError) else Reading(tuple(each.rewards), ()) for each in results]


class SharedGenerator:
    """One generator for searches on several threads: one call at a time."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._lock = threading.Lock()

    @property
    def info(self) -> GeneratorInfo:
        return self._generator.info

    @property
    def tokens(self) -> int:
        return self._generator.tokens

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        with self._lock:
            return self._generator.generate(requests)

    def continuations(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        with self._lock:
            return self._generator.continuations(prompt, choices)

    def close(self) -> None:
        self._generator.close()


class PolicyServer:
    """The policy of a service, and the threads on which its searches run."""

    def __init__(self, generator: Generator, prompts: PromptWriter) -> None:
        self._generator = SharedGenerator(generator)
        self._prompts = prompts
        self._threads = ThreadPoolExecutor(SEARCHES, thread_name_prefix="served-search")
        self._running = 0

    @classmethod
    def open(cls, settings: Settings) -> PolicyServer | None:
        """None if the settings name no policy. Raises CheckpointError."""
        if not settings.policy:
            return None
        policy = policy_at(settings.policy, "", settings.device, settings.dtype)
        policy.check()
        quiet_libraries()
        return cls(*open_policy(policy))

    def searcher(self, plan: ServedSearch, served: ServedModel, context: RequestContext) -> Searcher:
        """For one problem, on the running event loop.

        Raises InvalidOption, UnknownAggregate, UndefinedAggregate and InvalidThreshold for what does not go together,
        and Overloaded if too many searches run.
        """
        if self._running >= SEARCHES:
            raise Overloaded(f"{SEARCHES} searches run already; try again later", retry_after_seconds=RETRY_SECONDS)
        rewards = ServedRewards(served, context, asyncio.get_running_loop())
        return Searcher(
            SearchPolicy(self._generator, self._prompts, StepSampling(seed=plan.seed)),
            NodeRater(rewards, plan.method.aggregate),
            plan.method,
            final_aggregate=plan.aggregate,
            choice=plan.choice,
            budget=plan.budget,
            seed=plan.seed,
        )

    async def run(self, searcher: Searcher, problem: str) -> AsyncGenerator[list[SearchNode] | SearchResult, None]:
        """New or newly rated nodes as they come, then the result. Leaving the loop stops the search within a step."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Any]()

        def put(item: object) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, item)

        observed = replace(searcher, on_event=lambda _, nodes: put(list(nodes)))
        self._running += 1
        task = loop.run_in_executor(self._threads, _run, observed, problem, put)
        try:
            while True:
                item = await queue.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
                if isinstance(item, SearchResult):
                    return
        finally:
            searcher.stop.set()
            self._running -= 1
            await asyncio.shield(task)

    def close(self) -> None:
        self._threads.shutdown()
        self._generator.close()


def _run(searcher: Searcher, problem: str, put: Callable[[object], None]) -> None:
    """On a thread: every outcome goes to the queue, the unexpected ones too."""
    try:
        for result in searcher.run([SearchProblem("0", problem)]):
            put(result)
    except Exception as error:
        put(error)
