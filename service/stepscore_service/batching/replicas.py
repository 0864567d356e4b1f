"""Several batchers over one checkpoint: which of them computes what, and what happens when one of them dies.

Solutions of one problem go to the same batcher, so that its engine computes the problem once; a batcher that has much
more to do than another gives its problems to that one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, replace
from hashlib import blake2b

import structlog

from stepscore.errors import EngineDead, StepscoreError
from stepscore.scoring.replicated import ReplicaScorer, ReplicatedScorer
from stepscore.types import SolutionRequest
from stepscore_service.batching.batcher import Batcher
from stepscore_service.batching.protocols import RequestContext, RequestFacts, SolutionOutcome

log = structlog.get_logger("stepscore.replicas")

SPILL_CHARACTERS = 8
"""A problem goes elsewhere if its batcher has this many characters more in flight, for each token of a forward: about
two forwards."""
ATTEMPTS = 2
"""A solution that two engines died of is not given to a third."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a dead engine is opened again; each failure doubles them."""


@dataclass(eq=False, slots=True)
class Replica:
    """A batcher over one engine. characters: of the solutions that it was given and has not answered."""

    number: int
    scorer: ReplicaScorer
    batcher: Batcher
    characters: int = 0

    def fault(self) -> str | None:
        """Why it will not score any more."""
        return self.scorer.fault() or self.batcher.fault()

    @contextmanager
    def count_load(self, characters: int) -> Iterator[None]:
        """Counts characters that are in flight."""
        self.characters += characters
        try:
            yield
        finally:
            self.characters -= characters


class ReplicatedBatcher:
    """What a `Batcher` is to one engine, to several of the same checkpoint.

    Made on the running event loop, to which its methods belong.

    batcher_for: makes the batcher of a replica. warm: makes a new replica ready for its first request.
    An engine that dies is opened again while the others work.
    """

    def __init__(
        self,
        scorer: ReplicatedScorer,
        batcher_for: Callable[[ReplicaScorer], Batcher],
        warm: Callable[[ReplicaScorer], object] = lambda scorer: None,
    ) -> None:
        self._scorer = scorer
        self._batcher_for, self._warm = batcher_for, warm
        self._spill = SPILL_CHARACTERS * scorer.info.max_batch_tokens
        self._replicas = [Replica(number, each, batcher_for(each)) for number, each in enumerate(scorer.replicas, 1)]
        self._draining = False
        self._revivals: dict[Replica, asyncio.Task[None]] = {}

    @property
    def waiting_requests(self) -> int:
        return sum(each.batcher.waiting_requests for each in self._replicas)

    @property
    def waiting_tokens(self) -> int:
        return sum(each.batcher.waiting_tokens for each in self._replicas)

    @property
    def engines(self) -> tuple[int, int]:
        """How many engines there are, and how many of them work."""
        return len(self._replicas), len(self._working())

    async def submit(
        self, solutions: Sequence[SolutionRequest], context: RequestContext | None = None
    ) -> list[SolutionOutcome]:
        """See `Batcher.submit`. What a dying engine leaves undone is computed by another one, if there is one."""
        context = context or RequestContext()
        outcomes: dict[int, SolutionOutcome] = {}
        missing = list(range(len(solutions)))
        for _ in range(ATTEMPTS):
            outcomes |= await self._submit_all(solutions, missing, context)
            missing = [number for number in missing if isinstance(outcomes[number], EngineDead)]
            if not (missing and self._working()):
                break
            context = replace(context, tokens_per_minute=0)  # what is tried again was paid for
        return [outcomes[number] for number in range(len(solutions))]

    async def drain(self, seconds: float) -> None:
        """Take no new work, and give what is there this long to finish; what is left then fails with Draining."""
        self._draining = True
        await asyncio.gather(*(each.batcher.drain(seconds) for each in self._replicas))

    async def close(self) -> None:
        """Wait for the forwards that are running, then free the models."""
        self._draining = True
        for revival in self._revivals.values():
            revival.cancel()
        await asyncio.gather(*(each.batcher.close() for each in self._replicas))

    def fault(self) -> str | None:
        """Why no forward will work until the process is restarted; None while one engine works."""
        return None if self._working() else "; ".join(filter(None, (each.fault() for each in self._replicas)))

    def _working(self) -> list[Replica]:
        """Those that work; the dead ones are being opened again while there are any."""
        working = [each for each in self._replicas if each.fault() is None]
        for dead in set(self._replicas).difference(working, self._revivals):
            if working and not self._draining:
                log.error("replica_dead", replica=dead.number, reason=dead.fault())
                revival = self._open_again(dead)
                self._revivals[dead] = asyncio.create_task(revival, context=Context())  # it outlives this request
        return working

    async def _open_again(self, dead: Replica) -> None:
        scorer, pause = dead.scorer, FIRST_PAUSE
        while True:
            scorer.kill()
            await asyncio.sleep(pause)
            try:
                scorer = await asyncio.to_thread(self._scorer.replace, scorer)
                await asyncio.to_thread(self._warm, scorer)
                break
            except asyncio.CancelledError:  # the end of the service would wait until a process has loaded its model
                scorer.abandon()
                raise
            except Exception as error:  # no process can be started for want of memory, for example: later it can
                reason = error.message if isinstance(error, StepscoreError) else f"{type(error).__name__}: {error}"
                log.error("replica_not_opened", replica=dead.number, reason=reason)
                pause = min(2 * pause, LONGEST_PAUSE)
        self._replicas[self._replicas.index(dead)] = Replica(dead.number, scorer, self._batcher_for(scorer))
        del self._revivals[dead]
        await dead.batcher.close()
        log.info("replica_opened", replica=dead.number)

    async def _submit_all(
        self, solutions: Sequence[SolutionRequest], numbers: Sequence[int], context: RequestContext
    ) -> dict[int, SolutionOutcome]:
        """The outcomes of the solutions of these numbers. Raises the error of the first batcher that refuses a part."""
        parts = self._assign(solutions, numbers, context.cache_salt)
        facts = [RequestFacts() for _ in parts]
        tasks = [
            asyncio.ensure_future(
                _submit(replica, [solutions[number] for number in part], replace(context, facts=of_part))
            )
            for (replica, part), of_part in zip(parts.items(), facts, strict=True)
        ]
        try:
            found = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            _note(context.facts, facts)
        return {
            number: outcome
            for part, outcomes in zip(parts.values(), found, strict=True)
            for number, outcome in zip(part, outcomes, strict=True)
        }

    def _assign(
        self, solutions: Sequence[SolutionRequest], numbers: Sequence[int], salt: str
    ) -> Mapping[Replica, Sequence[int]]:
        """Which replica computes which solutions. Raises EngineDead if none works."""
        working = self._working()
        if not working:
            raise EngineDead(self.fault() or "no engine works")
        problems: dict[str, list[int]] = {}
        for number in numbers:
            problems.setdefault(solutions[number].problem, []).append(number)
        loads = {each: each.characters for each in working}
        parts: dict[Replica, list[int]] = {}
        for problem, part in problems.items():
            chosen = self._choose(f"{salt}\n{problem}", loads)
            loads[chosen] += sum(solutions[number].characters for number in part)
            parts.setdefault(chosen, []).extend(part)
        return parts

    def _choose(self, key: str, loads: Mapping[Replica, int]) -> Replica:
        """The replica that the key always falls on while it lives, or the least loaded one if that one is too busy."""
        preferred = max(loads, key=lambda replica: _weight(key, replica.number))
        least = min(loads, key=loads.__getitem__)
        return least if loads[preferred] - loads[least] > self._spill else preferred


AnyBatcher = Batcher | ReplicatedBatcher


async def _submit(
    replica: Replica, solutions: Sequence[SolutionRequest], context: RequestContext
) -> Sequence[SolutionOutcome]:
    """The outcomes of a part; those of an engine that dies are its error."""
    with replica.count_load(sum(each.characters for each in solutions)):
        try:
            return await replica.batcher.submit(solutions, context)
        except EngineDead as error:
            outcomes: list[SolutionOutcome] = [error] * len(solutions)
            return outcomes


def _weight(key: str, number: int) -> bytes:
    """Rendezvous hashing: when a replica dies, only its own keys move."""
    return blake2b(f"{number}\n{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _note(facts: RequestFacts, parts: Sequence[RequestFacts]) -> None:
    """What the parts took together: from the first start to the last end."""
    facts.tokens = sum(part.tokens for part in parts)
    for name in ("tokenise", "queue", "forward"):
        spans = [span for part in parts if (span := getattr(part, name)) is not None]
        if spans:
            setattr(facts, name, (min(start for start, _ in spans), max(end for _, end in spans)))
