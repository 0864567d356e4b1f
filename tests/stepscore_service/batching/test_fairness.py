"""The batcher over the real engine: nobody waits for longer than a chunk, and nothing is computed twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

import engine_case as case
from held_scorer import Counted
from stepscore.config import CheckpointFacts
from stepscore.engine.protocol import Work
from stepscore.engine.torch.engine import TorchEngine
from stepscore.family.registry import Parts
from stepscore.scoring.protocol import ModelInfo
from stepscore.scoring.scorer import Scorer
from stepscore.types import PROBABILITY, Encoded, EncodedSolution, Reading, Solution, SolutionRequest, Values
from stepscore_service.batching.batcher import Batcher
from stepscore_service.batching.protocols import ScoredSolution, SolutionOutcome
from stepscore_service.batching.worker import ForwardResult
from stepscore_service.serving.admission import Admission

CHUNK = 64
GIANT = 20 * CHUNK


class Letters:
    """A layout: one token for each character, a read at the end of the problem and of each step."""

    def encode(self, solution: Solution) -> EncodedSolution:
        ids: list[int] = []
        reads = []
        for text in (solution.problem, *solution.steps):
            ids += [ord(character) % case.VOCABULARY for character in text]
            reads.append(len(ids) - 1)
        return EncodedSolution((Encoded(tuple(ids), tuple(reads[1:])),), steps=len(solution.steps))


def first_numbers(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    return Reading(tuple(float(number) for number in np.concatenate(values)[:, 0]))


class Watched(Scorer):
    """Forwards wait for `free`, never overlap, and are noted: tokens computed, lengths of the works finished."""

    def __init__(self, info: ModelInfo, parts: Parts, engine: TorchEngine) -> None:
        super().__init__(info, parts, engine)
        self.forwards: list[int] = []
        self.finished: list[list[int]] = []
        self.entered, self.free = threading.Event(), threading.Event()
        self.free.set()
        self._inside = threading.Lock()

    def advance(self, works: Sequence[Work]) -> list[ForwardResult]:
        assert self._inside.acquire(blocking=False), "two forwards at a time"
        self.entered.set()
        assert self.free.wait(30)
        before = self.counts().computed
        answers = super().advance(works)
        self.forwards.append(self.counts().computed - before)
        self.finished.append([work.encoded.tokens for work in works if work.finished])
        self._inside.release()
        return answers


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> CheckpointFacts:
    return case.write(tmp_path_factory.mktemp("checkpoint"), max_position_embeddings=4096)


def scorer(facts: CheckpointFacts, **options: object) -> Watched:
    engine = case.engine(facts, **{"max_batch_tokens": CHUNK} | options)
    told = engine.info
    info = ModelInfo(
        *("m", "f", "r", PROBABILITY, "min", 0.5, "", told.max_tokens, told.max_batch_tokens),
        *(told.name, told.device, told.dtype, told.mode),
        chunked=told.chunked,
    )
    return Watched(info, Parts(Letters(), case.CLASS_HEAD, first_numbers), engine)


@asynccontextmanager
async def run_batcher(watched: Watched) -> AsyncIterator[Batcher]:
    batcher = Batcher(watched, Counted(), admission=Admission(1_000_000))
    try:
        yield batcher
    finally:
        watched.free.set()
        await batcher.close()


async def submit(batcher: Batcher, solutions: Sequence[Solution]) -> list[SolutionOutcome]:
    return await batcher.submit([SolutionRequest(each.problem, each.steps) for each in solutions])


def text(seed: int, size: int) -> str:
    return "".join(chr(48 + number) for number in np.random.default_rng(seed).integers(0, 60, size))


def trie(solutions: Sequence[Solution]) -> int:
    """Tokens that differ in themselves or in what stands before them."""
    texts = ["".join((each.problem, *each.steps)) for each in solutions]
    return len({one[: end + 1] for one in texts for end in range(len(one))})


def solution(seed: int, size: int, problem: str = "p") -> Solution:
    return Solution(problem, (text(seed, size - len(problem)),))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it waits for what another thread does
            await asyncio.sleep(0.005)


async def start_giant(watched: Watched, batcher: Batcher, giant: Solution) -> asyncio.Task:
    """A giant whose first forward is being held."""
    watched.free.clear()
    task = asyncio.create_task(submit(batcher, [giant]))
    await asyncio.to_thread(watched.entered.wait, 10)
    return task


async def test_a_small_request_waits_for_one_chunk_of_a_giant(facts: CheckpointFacts) -> None:
    watched = scorer(facts)
    async with run_batcher(watched) as batcher:
        giant = await start_giant(watched, batcher, solution(0, GIANT))
        small = asyncio.create_task(submit(batcher, [solution(1, 30, "q")]))
        await until(lambda: batcher.waiting_requests == 1)
        watched.free.set()
        await asyncio.gather(small, giant)
    assert watched.finished[:3] == [[], [30], []], "the chunk that ran when it came, and then its own"
    assert watched.finished[-1] == [GIANT]
    assert watched.forwards[:2] == [CHUNK, CHUNK]
    assert max(watched.forwards) <= CHUNK
    assert watched.counts().computed == GIANT + 30


async def test_a_large_rerank_and_a_giant_share_every_forward(facts: CheckpointFacts) -> None:
    watched, prompt = scorer(facts), text(5, 20)
    candidates = [solution(seed, 40, prompt) for seed in range(10, 40)]
    async with run_batcher(watched) as batcher:
        giant = await start_giant(watched, batcher, solution(0, GIANT))
        rerank = asyncio.create_task(submit(batcher, candidates))
        watched.free.set()
        outcomes = [*await rerank, *await giant]
    assert all(isinstance(outcome, ScoredSolution) for outcome in outcomes)
    assert max(watched.forwards) <= CHUNK
    assert watched.counts().computed == trie([solution(0, GIANT), *candidates])


async def test_searches_at_the_same_time_are_one_forward_and_the_same_request_is_computed_once(
    facts: CheckpointFacts,
) -> None:
    watched, prompt = scorer(facts, max_batch_tokens=512), text(5, 100)
    beams = [[solution(seed, 110, prompt) for seed in seeds] for seeds in ((1, 2, 3), (4, 5, 6), (1, 2, 3))]
    async with run_batcher(watched) as batcher:
        first = await start_giant(watched, batcher, Solution("q", (prompt,)))
        searches = [asyncio.create_task(submit(batcher, beam)) for beam in beams]
        await until(lambda: batcher.waiting_requests == len(beams))
        watched.free.set()
        found = [await search for search in searches]
        await first
    assert sum(watched.forwards[1:]) == trie(beams[0] + beams[1])
    assert len([tokens for tokens in watched.forwards[1:] if tokens]) <= 3
    assert found[0] == found[2]


async def test_a_giant_that_hangs_up_is_computed_no_further(facts: CheckpointFacts) -> None:
    watched = scorer(facts)
    async with run_batcher(watched) as batcher:
        giant = await start_giant(watched, batcher, solution(0, GIANT))
        giant.cancel()
        await asyncio.gather(giant, return_exceptions=True)
        watched.free.set()
        await submit(batcher, [solution(1, 30, "q")])
    assert watched.counts().computed == CHUNK + 30


@pytest.mark.parametrize("kv_cache_bytes", [1 << 22, 30_000, 0])
async def test_under_load_every_answer_is_that_of_no_cache(facts: CheckpointFacts, kv_cache_bytes: int) -> None:
    """Eight callers at once on one tree, some of whom leave: fp32 numbers within 1e-5 of each sequence alone."""
    watched, alone = scorer(facts, kv_cache_bytes=kv_cache_bytes), case.engine(facts, mode="invariant")
    prompts = [text(seed, 25) for seed in range(3)]

    async def caller(number: int) -> list[tuple[Solution, tuple[float, ...]]]:
        seen = []
        for turn in range(6):
            grown = [solution(number % 4 + turn, 30 + 25 * turn, prompts[(number + turn) % 3]), solution(turn, 20)]
            task = asyncio.create_task(submit(batcher, grown))
            if (number + turn) % 5 == 0:
                await asyncio.sleep(0.002)
                task.cancel()
            for outcome, one in zip(await asyncio.gather(task, return_exceptions=True), [grown], strict=True):
                if not isinstance(outcome, BaseException):
                    seen += [
                        (s, o.reading.rewards)
                        for s, o in zip(one, outcome, strict=True)
                        if isinstance(o, ScoredSolution)
                    ]
        return seen

    async with run_batcher(watched) as batcher:
        seen = [pair for pairs in await asyncio.gather(*map(caller, range(8))) for pair in pairs]
    assert len(seen) > 60
    sequences = [Letters().encode(each).sequences[0] for each, _ in seen]
    case.assert_close([np.array(rewards)[:, None] for _, rewards in seen], [v[:, :1] for v in alone.forward(sequences)])
