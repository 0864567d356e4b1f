"""Which engine computes what: a problem stays on one, a loaded one spills, and only a dead one's problems move."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from held_scorer import INFO, Counted, HeldScorer
from stepscore.errors import EngineDead
from stepscore.types import SolutionRequest
from stepscore_service.batching.batcher import Batcher
from stepscore_service.batching.protocols import ScoredSolution
from stepscore_service.batching.replicas import ReplicatedBatcher
from stepscore_service.serving.admission import Admission


class HeldReplica(HeldScorer):
    """A replica without a process. dead: why it no longer scores."""

    dead: str | None = None
    killed = False

    def fault(self) -> str | None:
        return self.dead

    def kill(self) -> None:
        self.killed = True

    def abandon(self) -> None:
        self.free.set()


class HeldReplicas:
    """Opens a new replica in the place of a dead one. failure: of the first attempt."""

    info = INFO

    def __init__(self, count: int = 3, failure: Exception | None = None) -> None:
        self.replicas = [HeldReplica() for _ in range(count)]
        self.failure = failure

    def replace(self, dead: HeldReplica) -> HeldReplica:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        new = HeldReplica()
        self.replicas[self.replicas.index(dead)] = new
        return new


def batcher_over(scorers: HeldReplicas) -> ReplicatedBatcher:
    return ReplicatedBatcher(
        scorers,  # type: ignore[arg-type]
        lambda each: Batcher(each, Counted(), admission=Admission(10_000)),
    )


def texts(problems: Sequence[str], size: int = 1) -> list[SolutionRequest]:
    return [SolutionRequest(problem, (f"{problem}{n}",)) for problem in problems for n in range(size)]


def computed_problems(scorers: HeldReplicas) -> list[set[str]]:
    """The problems that each replica has computed."""
    return [{text[0] for batch in each.batches for text in batch} for each in scorers.replicas]


async def test_each_problem_is_on_one_replica_and_stays_there() -> None:
    scorers = HeldReplicas()
    batcher = batcher_over(scorers)
    problems = "abcdefghijkl"
    outcomes = await batcher.submit(texts(problems, 3))
    assert [each.reading.rewards for each in outcomes if isinstance(each, ScoredSolution)] == [(0.02,)] * 36
    first = computed_problems(scorers)
    assert set().union(*first) == set(problems)
    assert sum(map(len, first)) == len(problems), "no problem is on two replicas"
    assert all(first), "and no replica without one"
    for problem in problems:
        await batcher.submit(texts([problem]))
    assert computed_problems(scorers) == first
    await batcher.close()


async def test_a_problem_goes_elsewhere_while_its_replica_has_much_to_do() -> None:
    scorers = HeldReplicas(2)
    batcher = batcher_over(scorers)
    await batcher.submit(texts("a"))
    home = next(each for each in scorers.replicas if each.batches)
    home.free.clear()
    home.entered.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(batcher.submit([SolutionRequest("a", ("x" * 9,)) for _ in range(100)]))
        await asyncio.to_thread(home.entered.wait, 10)
        (outcome,) = await batcher.submit(texts("a"))
        assert isinstance(outcome, ScoredSolution), "the other replica has answered while this one is held"
        home.free.set()
    before = len(home.batches)
    await batcher.submit(texts("a"))
    assert len(home.batches) == before + 1, "and later it comes home"
    await batcher.close()


async def test_problems_of_a_dead_replica_move_and_those_of_the_others_stay() -> None:
    scorers = HeldReplicas()
    batcher = batcher_over(scorers)
    problems = "abcdefghijkl"
    await batcher.submit(texts(problems))
    first = computed_problems(scorers)
    scorers.replicas[1].dead = "it ended"
    await batcher.submit(texts(problems))
    second = computed_problems(scorers)
    assert batcher.engines == (3, 2)
    assert batcher.fault() is None
    assert first[0] <= second[0]
    assert first[2] <= second[2]
    assert second[0] | second[2] == set(problems)
    await batcher.close()


async def test_a_solution_that_two_engines_died_of_is_an_error() -> None:
    scorers = HeldReplicas()
    for each in scorers.replicas:
        each._before = lambda texts: (_ for _ in ()).throw(EngineDead("it ended"))
    batcher = batcher_over(scorers)
    (outcome,) = await batcher.submit(texts("a"))
    assert isinstance(outcome, EngineDead)
    assert batcher.engines == (3, 1), "the third engine lives"
    await batcher.close()


async def test_a_dead_replica_is_opened_again() -> None:
    scorers = HeldReplicas(2)
    batcher = batcher_over(scorers)
    victim = scorers.replicas[0]
    victim.dead = "it ended"
    for _ in range(200):
        if batcher.engines == (2, 2):
            break
        await asyncio.sleep(0.02)
    assert victim.killed
    assert scorers.replicas[0] is not victim
    await batcher.close()


async def test_a_service_that_ends_does_not_wait_for_an_engine_that_is_being_opened() -> None:
    scorers = HeldReplicas(2)
    victim = scorers.replicas[0]
    victim.free.clear()
    opening = asyncio.Event()
    loop = asyncio.get_running_loop()

    def replace(dead: HeldReplica) -> HeldReplica:
        loop.call_soon_threadsafe(opening.set)
        assert dead.free.wait(10)
        raise EngineDead("it was ended while it was opened")

    scorers.replace = replace  # type: ignore[method-assign]
    batcher = batcher_over(scorers)
    victim.dead = "it ended"
    assert batcher.engines == (2, 1)
    await asyncio.wait_for(opening.wait(), 10)
    await batcher.close()
    assert victim.free.is_set()


async def test_a_replica_whose_process_cannot_be_started_is_opened_later() -> None:
    scorers = HeldReplicas(2, OSError(12, "Cannot allocate memory"))
    batcher = batcher_over(scorers)
    scorers.replicas[0].dead = "it ended"
    for _ in range(500):
        if batcher.engines == (2, 2):
            break
        await asyncio.sleep(0.02)
    assert batcher.engines == (2, 2)
    assert scorers.failure is None
    await batcher.close()


async def test_without_a_working_engine_there_is_a_fault_and_an_error() -> None:
    scorers = HeldReplicas(2)
    batcher = batcher_over(scorers)
    for each in scorers.replicas:
        each.dead = "it ended"
    assert batcher.fault() == "it ended; it ended"
    with pytest.raises(EngineDead):
        await batcher.submit(texts("a"))
    await batcher.close()
