"""`take_batch`: budget, order, no starvation, large calls split, nothing computed for callers who are gone."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from stepscore.types import Encoded, EncodedSolution
from stepscore_service.batcher_queue import Call, take_batch

BUDGET = 100


def solution(tokens: int) -> EncodedSolution:
    return EncodedSolution((Encoded((7,) * tokens, (tokens - 1,)),), steps=1)


def call(*tokens: int, arrived: float = 0.0, deadline: float = math.inf, departed: bool = False) -> Call:
    made = Call(arrived, deadline, departed)
    for index, count in enumerate(tokens):
        made.add(index, solution(count))
    return made


sizes = st.lists(st.integers(1, 3 * BUDGET), max_size=12)
calls = st.builds(
    lambda tokens, arrived, deadline, departed: call(*tokens, arrived=arrived, deadline=deadline, departed=departed),
    sizes,
    st.floats(0, 10),
    st.one_of(st.just(math.inf), st.floats(0, 20)),
    st.booleans(),
)
queues = st.lists(calls, max_size=8)


def wants(each: Call, now: float) -> bool:
    return not each.departed and each.deadline > now and bool(each.waiting)


@given(queues, st.integers(1, 4 * BUDGET), st.integers(0, 5))
def test_a_batch_keeps_to_its_budget_unless_it_is_one_item(queue: list[Call], budget: int, max_items: int) -> None:
    taken = take_batch(queue, budget, now=10.0, max_items=max_items)
    items = [item for each, count in taken.picks for item in list(each.waiting)[:count]]
    assert len(items) <= 1 or sum(item.tokens for item in items) <= budget
    assert not max_items or len(items) <= max_items


@given(queues)
def test_every_batch_makes_progress(queue: list[Call]) -> None:
    taken = take_batch(queue, BUDGET, now=10.0)
    assert bool(taken.picks) == any(wants(each, 10.0) for each in queue)


@given(queues)
def test_nothing_is_computed_for_those_who_are_gone_or_late(queue: list[Call]) -> None:
    taken = take_batch(queue, BUDGET, now=10.0)
    assert all(wants(each, 10.0) and 1 <= count <= len(each.waiting) for each, count in taken.picks)
    assert set(taken.departed) == {each for each in queue if each.departed}
    assert set(taken.expired) == {each for each in queue if not each.departed and each.deadline <= 10.0}


@given(queues)
def test_choosing_changes_nothing(queue: list[Call]) -> None:
    before = [(list(each.waiting), each.tokens, each.departed) for each in queue]
    first = take_batch(queue, BUDGET, now=10.0)
    assert take_batch(queue, BUDGET, now=10.0) == first
    assert [(list(each.waiting), each.tokens, each.departed) for each in queue] == before


@given(sizes.filter(bool))
def test_a_large_call_is_spread_over_batches_in_order(tokens: list[int]) -> None:
    large = call(*tokens)
    seen: list[int] = []
    while large.waiting:
        ((same, count),) = take_batch([large], BUDGET, now=0.0).picks
        assert same is large
        seen += [item.index for item in large.take(count)]
    assert seen == list(range(len(tokens)))
    assert large.tokens == 0


def test_the_least_remaining_work_goes_first() -> None:
    large, small, middle = call(60, 60, 60), call(30), call(40, 40)
    assert take_batch([large, middle, small], BUDGET, now=0.0).picks == ((small, 1), (middle, 1))


def test_among_equals_the_first_come_is_first() -> None:
    late, early = call(80, arrived=0.2), call(80, arrived=0.1)
    assert take_batch([late, early], BUDGET, now=0.3).picks == ((early, 1),)


def test_what_fits_beside_a_large_item_is_not_held_up_by_it() -> None:
    small, large, tiny = call(50), call(90, arrived=0.0), call(45, 45, 45, arrived=0.1)
    assert take_batch([large, tiny, small], BUDGET, now=0.2).picks == ((small, 1), (tiny, 1))


def test_the_price_decides_not_the_length() -> None:
    known = call(90, 90, 90, 90)
    (pick,) = take_batch([known], BUDGET, now=0.0, price=lambda item: 20).picks
    assert pick == (known, 4)


def test_a_stream_of_small_calls_cannot_starve_a_large_one() -> None:
    large = call(*[80] * 10, arrived=0.0)
    now, batches = 0.0, 0
    while large.waiting:
        now, batches = now + 0.1, batches + 1
        rivals = [call(20, arrived=now) for _ in range(20)]
        for each, count in take_batch([large, *rivals], BUDGET, now).picks:
            each.take(count)
        assert batches < 30, "the large call waits for ever"


def test_an_overdue_giant_leaves_half_of_every_batch_to_the_others() -> None:
    giant = call(*[25] * 100, arrived=0.0)
    for step in range(20):
        small = call(25, arrived=5.0 + step)
        picks = dict(take_batch([giant, small], BUDGET, now=5.0 + step).picks)
        assert picks[small] == 1
        giant.take(picks[giant])


@given(queues, st.integers(1, 50))
def test_the_queue_empties(queue: list[Call], budget: int) -> None:
    left = [each for each in queue if wants(each, 10.0)]
    total = sum(len(each.waiting) for each in left)
    for _ in range(total):
        for each, count in take_batch(left, budget, now=10.0).picks:
            each.take(count)
    assert not any(each.waiting for each in left)
