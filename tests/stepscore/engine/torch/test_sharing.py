"""Mode `fast`: no token is computed twice, and the numbers are those of a forward without any sharing."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import engine_case as case
from stepscore.config import CheckpointFacts
from stepscore.engine.torch.engine import TorchEngine
from stepscore.engine.torch.planning import needed_ids
from stepscore.errors import EngineError
from stepscore.family.heads import TokenLogProbHead
from stepscore.types import Encoded, Values

STEP = 12
TINY_KV_BYTES = 2 * 3 * 2 * 8 * 4
"""Keys and values of one token of the tiny checkpoint: 3 layers, 2 key heads of width 8, fp32."""


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> CheckpointFacts:
    return case.write(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def alone(facts: CheckpointFacts) -> TorchEngine:
    """Every sequence by itself, nothing kept."""
    return case.engine(facts, mode="invariant")


def solution(tokens: Sequence[int]) -> Encoded:
    """A read at the end of every step of 12 tokens."""
    return Encoded(tuple(tokens), tuple(range(STEP - 1, len(tokens), STEP)))


def implicit(tokens: Sequence[int]) -> Encoded:
    """A read at every token, of the token that follows."""
    return Encoded(tuple(tokens), tuple(range(len(tokens) - 1)), tuple(tokens[1:]))


def trie_nodes(batch: Sequence[Encoded]) -> int:
    return len({one.ids[: end + 1] for one in batch for end in range(one.reads[-1] + 1)})


def tokens(chance: random.Random, count: int) -> list[int]:
    return [chance.randrange(case.VOCABULARY) for _ in range(count)]


@pytest.mark.parametrize("kv_cache_bytes", [1 << 22, 0])
def test_rerank_computes_no_more_than_the_trie(facts: CheckpointFacts, alone: TorchEngine, kv_cache_bytes: int) -> None:
    chance = random.Random(0)
    prompt = tokens(chance, 5 * STEP)
    batch = [solution(prompt + tokens(chance, STEP * chance.randint(1, 5))) for _ in range(64)]
    engine = case.engine(facts, kv_cache_bytes=kv_cache_bytes, max_batch_tokens=4096)
    case.assert_close(engine.forward(batch), alone.forward(batch))
    assert engine.counts().computed <= trie_nodes(batch)
    assert engine.counts().prompt == sum(len(one.ids) for one in batch)


def test_rerank_over_many_forwards_computes_no_more_than_the_trie(facts: CheckpointFacts, alone: TorchEngine) -> None:
    chance = random.Random(1)
    prompt = tokens(chance, 5 * STEP)
    batch = [solution(prompt + tokens(chance, STEP * chance.randint(1, 5))) for _ in range(64)]
    engine = case.engine(facts, max_batch_tokens=200)
    case.assert_close(engine.forward(batch), alone.forward(batch))
    assert engine.counts().computed <= trie_nodes(batch)


@pytest.mark.parametrize("encode", [solution, implicit])
def test_beam_computes_the_new_tokens(facts: CheckpointFacts, alone: TorchEngine, encode: Callable) -> None:
    chance = random.Random(2)
    beams = [tokens(chance, 5 * STEP)]
    new = len(beams[0])
    engine, judge = _engines(facts, alone, encode)
    for _ in range(10):
        beams = [beam + tokens(chance, STEP) for beam in beams for _ in range(4)]
        new += STEP * len(beams)
        batch = [encode(beam) for beam in beams]
        case.assert_close(engine.forward(batch), judge.forward(batch))
        beams = chance.sample(beams, 4)
    assert engine.counts().computed <= 1.05 * new
    assert engine.counts().prompt > 5 * engine.counts().computed


@pytest.mark.parametrize("encode", [solution, implicit])
def test_tree_computes_the_new_tokens(facts: CheckpointFacts, alone: TorchEngine, encode: Callable) -> None:
    chance = random.Random(3)
    nodes = [tokens(chance, 5 * STEP)]
    engine, judge = _engines(facts, alone, encode)
    for _ in range(200):
        nodes.append(chance.choice(nodes[-40:]) + tokens(chance, STEP))
        batch = [encode(nodes[-1])]
        assert engine.cost(batch[0]) <= 2 * STEP + (5 * STEP if len(nodes) == 2 else 0)
        case.assert_close(engine.forward(batch), judge.forward(batch))
    assert engine.counts().computed <= 1.05 * (5 * STEP + 200 * STEP)


def _engines(facts: CheckpointFacts, alone: TorchEngine, encode: Callable) -> tuple[TorchEngine, TorchEngine]:
    if encode is solution:
        return case.engine(facts), alone
    head = TokenLogProbHead(reference=True)
    return tuple(case.engine(facts, head, mode=mode, reference_model=facts.path) for mode in ("fast", "invariant"))


def test_what_was_sent_before_costs_nothing(facts: CheckpointFacts) -> None:
    engine = case.engine(facts)
    first = solution(tokens(random.Random(4), 4 * STEP))
    values = engine.forward([first])
    assert engine.cost(first) == 0
    again = engine.forward([first, first])
    assert engine.counts().computed == 4 * STEP
    assert all(np.array_equal(values[0], one) for one in again)
    longer = solution([*first.ids, *range(STEP)])
    assert engine.cost(longer) == STEP
    shorter = solution(first.ids[: 2 * STEP])
    assert engine.cost(shorter) == 0
    engine.purge()
    assert engine.cost(first) == 4 * STEP


def test_a_known_token_read_anew_costs_that_token(facts: CheckpointFacts, alone: TorchEngine) -> None:
    engine = case.engine(facts)
    ids = tuple(tokens(random.Random(5), 40))
    engine.forward([Encoded(ids, (39,))])
    batch = [Encoded(ids, (3, 20, 39)), Encoded(ids[:21], (3, 20))]
    case.assert_close(engine.forward(batch), alone.forward(batch))
    assert engine.counts().computed == 42


def test_salts_share_nothing(facts: CheckpointFacts) -> None:
    engine = case.engine(facts)
    one, other = (Encoded((1, 2, 3), (2,), cache_salt=salt) for salt in ("tenant a", "tenant b"))
    engine.forward([one])
    assert (engine.cost(one), engine.cost(other)) == (0, 3)


def test_without_a_budget_nothing_is_kept_across_calls(facts: CheckpointFacts) -> None:
    engine = case.engine(facts, kv_cache_bytes=0)
    one = Encoded((1, 2, 3), (2,))
    for calls in (1, 2):
        engine.forward([one, Encoded((1, 2, 4), (2,))])
        assert engine.counts().computed == 4 * calls
    assert engine.cost(one) == 3


BATCHES = st.lists(st.integers(0, 10_000), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(seeds=BATCHES, tokens_kept=st.sampled_from([0, 1, 30, 150, 10_000]), forward=st.sampled_from([1, 40, 1000]))
def test_any_budget_gives_the_numbers_of_no_cache(
    facts: CheckpointFacts, alone: TorchEngine, seeds: list[int], tokens_kept: int, forward: int
) -> None:
    engine = case.engine(facts, kv_cache_bytes=tokens_kept * TINY_KV_BYTES, max_batch_tokens=forward)
    for seed in seeds:
        batch = case.batch(seed % 3, size=4)[: 1 + seed % 4] + case.batch(seed, size=2)
        case.assert_close(engine.forward(batch), alone.forward(batch))


def test_a_forward_that_fails_leaves_nothing_behind(facts: CheckpointFacts, alone: TorchEngine) -> None:
    engine = case.engine(facts)
    batch = case.batch(seed=8)
    engine.forward(batch[:2])
    before = [engine.cost(each) for each in batch]
    broken = _Breaking(engine)
    with broken, pytest.raises(EngineError, match="out of memory"):
        engine.forward(batch)
    assert [engine.cost(each) for each in batch] == before
    case.assert_close(engine.forward(batch), alone.forward(batch))


class _Breaking:
    """While inside, the engine's head raises as PyTorch does when memory runs out."""

    def __init__(self, engine: TorchEngine) -> None:
        self._model = engine.models[0]
        self._readout = self._model.readout

    def __enter__(self) -> None:
        self._model.readout = self._fail

    def __exit__(self, *exception: object) -> None:
        self._model.readout = self._readout

    def _fail(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory")


def test_costs_may_be_asked_while_forwards_run(facts: CheckpointFacts, alone: TorchEngine) -> None:
    engine = case.engine(facts, kv_cache_bytes=300 * TINY_KV_BYTES)
    batches = [case.batch(seed) for seed in range(20)]
    done = threading.Event()
    wrong: list[tuple[int, Encoded]] = []

    def ask() -> None:
        while not done.wait(0.001):  # a loop without pauses would leave the forwards little of one core
            for batch in batches:
                wrong.extend((cost, one) for one in batch if not 0 <= (cost := engine.cost(one)) <= len(one.ids))

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        found: list[list[Values]] = [engine.forward(batch) for batch in batches]
    finally:
        done.set()
        asker.join()
    assert not wrong
    for values, batch in zip(found, batches, strict=True):
        case.assert_close(values, alone.forward(batch))


def test_a_purge_waits_for_the_running_forward(facts: CheckpointFacts, alone: TorchEngine) -> None:
    engine = case.engine(facts, max_batch_tokens=60)
    batches = [case.batch(seed) for seed in range(10)]
    done = threading.Event()

    def purge() -> None:
        while not done.wait(0.001):
            engine.purge()

    purger = threading.Thread(target=purge)
    purger.start()
    try:
        found = [engine.forward(batch) for batch in batches]
    finally:
        done.set()
        purger.join()
    for values, batch in zip(found, batches, strict=True):
        case.assert_close(values, alone.forward(batch))
    engine.purge()
    assert all(engine.cost(one) == len(needed_ids(one)) for batch in batches for one in batch)


@pytest.mark.slow
def test_ten_thousand_requests_leave_no_growth(tmp_path: Path) -> None:
    engine = case.engine(case.write(tmp_path), kv_cache_bytes=2000 * TINY_KV_BYTES)
    chance = random.Random(6)

    def send(count: int) -> None:
        for _ in range(count):
            engine.forward([solution(tokens(chance, STEP * chance.randint(1, 8)))])

    send(2000)
    warm = _resident_bytes()
    send(10_000)
    assert _resident_bytes() <= 1.05 * warm


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096
