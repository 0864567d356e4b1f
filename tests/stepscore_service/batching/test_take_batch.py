"""`take_batch`: budget, order, no starvation, large requests split, nothing computed for callers who are gone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from stepscore.types import Encoded, EncodedSolution, Solution, SplitSolution
from stepscore_service.batching.queue import Batch, BatchLimits, QueuedRequest, QueuedSolution, take_batch

BUDGET = 100
UNREAD = SplitSolution(Solution("", ()), (), from_text=False)
"""The choice of a batch looks at tokens only."""


def solution(tokens: int) -> EncodedSolution:
    return EncodedSolution((Encoded((7,) * tokens, (tokens - 1,)),), steps=1)


def take(
    queue: Sequence[QueuedRequest], budget: int = BUDGET, now: float = 0.0, *, max_items: int = 0, rate: float = 0.0
) -> Batch:
    """Items are not split, and cost what they are long."""
    return take_batch(
        queue, BatchLimits(budget, max_items), now, price=lambda item: item.tokens, tokens_per_second=rate
    )


def counts(taken: Batch) -> tuple[tuple[QueuedRequest, int], ...]:
    return tuple((each, len(shares)) for each, shares in taken.selected)


def request(*tokens: int, arrived: float = 0.0, deadline: float = math.inf, departed: bool = False) -> QueuedRequest:
    made = QueuedRequest(arrived, deadline, departed)
    for index, count in enumerate(tokens):
        made.add(QueuedSolution(encoded=solution(count), request=made, index=index, split=UNREAD, left=count))
    return made


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, BUDGET), min_size=1, max_size=30), min_size=1, max_size=5))
def test_a_batch_is_large_while_every_request_would_fill_a_forward(queue: list[list[int]]) -> None:
    made = [request(*tokens) for tokens in queue]
    limits = BatchLimits(BUDGET, large_budget=4 * BUDGET)
    taken = take_batch(made, limits, 0.0, price=lambda item: item.tokens)
    spent = sum(sum(shares) for _, shares in taken.selected)
    whole = sum(map(sum, queue))
    if min(map(sum, queue)) >= BUDGET:
        assert spent > min(whole, 4 * BUDGET) - BUDGET
        assert spent <= 4 * BUDGET
    else:
        assert spent <= BUDGET


sizes = st.lists(st.integers(1, 3 * BUDGET), max_size=12)
requests = st.builds(
    lambda tokens, arrived, deadline, departed: request(*tokens, arrived=arrived, deadline=deadline, departed=departed),
    sizes,
    st.floats(0, 10),
    st.one_of(st.just(math.inf), st.floats(0, 20)),
    st.booleans(),
)
queues = st.lists(requests, max_size=8)


def wants(each: QueuedRequest, now: float) -> bool:
    return not each.departed and each.deadline > now and bool(each.waiting)


@settings(deadline=None)
@given(queues, st.integers(1, 4 * BUDGET), st.integers(0, 5))
def test_a_batch_keeps_to_its_budget_unless_it_is_one_item(
    queue: list[QueuedRequest], budget: int, max_items: int
) -> None:
    taken = take(queue, budget, now=10.0, max_items=max_items)
    items = [item for each, count in counts(taken) for item in list(each.waiting)[:count]]
    assert len(items) <= 1 or sum(item.tokens for item in items) <= budget
    assert not max_items or len(items) <= max_items


@settings(deadline=None)
@given(queues)
def test_every_batch_makes_progress(queue: list[QueuedRequest]) -> None:
    taken = take(queue, now=10.0)
    assert bool(taken.selected) == any(wants(each, 10.0) for each in queue)


@settings(deadline=None)
@given(queues)
def test_nothing_is_computed_for_those_who_are_gone_or_late(queue: list[QueuedRequest]) -> None:
    taken = take(queue, now=10.0)
    assert all(wants(each, 10.0) and 1 <= count <= len(each.waiting) for each, count in counts(taken))
    assert set(taken.departed) == {each for each in queue if each.departed}
    assert set(taken.expired) == {each for each in queue if not each.departed and each.deadline <= 10.0}


@settings(deadline=None)
@given(queues)
def test_choosing_changes_nothing(queue: list[QueuedRequest]) -> None:
    before = [(list(each.waiting), each.tokens, each.departed) for each in queue]
    first = take(queue, now=10.0)
    assert take(queue, now=10.0) == first
    assert [(list(each.waiting), each.tokens, each.departed) for each in queue] == before


@settings(deadline=None)
@given(sizes.filter(bool))
def test_a_large_request_is_spread_over_batches_in_order(tokens: list[int]) -> None:
    large = request(*tokens)
    seen: list[int] = []
    while large.waiting:
        ((same, count),) = counts(take([large]))
        assert same is large
        seen += [item.index for item in large.take(count)]
    assert seen == list(range(len(tokens)))
    assert large.tokens == 0


def test_a_request_that_the_forward_would_make_late_leaves_its_place_to_others() -> None:
    oldest, fresh = request(80, arrived=0.0, deadline=10.5), request(80, arrived=9.9, deadline=20.0)
    assert [each for each, _ in counts(take([oldest, fresh], now=10.0))] == [oldest]
    assert [each for each, _ in counts(take([oldest, fresh], now=10.0, rate=100.0))] == [fresh]


def test_a_short_queue_makes_nobody_late() -> None:
    nearly_late, fresh = request(20, arrived=0.0, deadline=10.5), request(20, arrived=9.9, deadline=20.0)
    taken = counts(take([nearly_late, fresh], now=10.0, rate=100.0))
    assert {each for each, _ in taken} == {nearly_late, fresh}


def test_what_cannot_be_ready_in_time_by_itself_goes_after_others() -> None:
    huge, small = request(*[90] * 8, arrived=0.0, deadline=15.0), request(30, arrived=9.9, deadline=15.0)
    assert [each for each, _ in counts(take([huge, small], now=10.0, rate=100.0))] == [small]


def test_what_the_cache_holds_of_a_request_takes_no_time() -> None:
    known, fresh = request(90, arrived=0.0, deadline=11.0), request(30, arrived=9.9, deadline=20.0)
    known.left = known.waiting[0].left = 5
    taken = take_batch([known, fresh], BatchLimits(BUDGET), 10.0, price=lambda item: item.left, tokens_per_second=50.0)
    assert {each for each, _ in counts(taken)} == {known, fresh}


def test_if_all_would_be_late_a_forward_corrects_the_estimate() -> None:
    late, later = request(80, deadline=10.1), request(80, deadline=10.2)
    assert take([late, later], now=10.0, rate=1.0).selected == take([late, later], now=10.0).selected != ()


@settings(deadline=None)
@given(queues, st.floats(0.1, 1000))
def test_every_batch_makes_progress_at_any_measured_rate(queue: list[QueuedRequest], rate: float) -> None:
    taken = take(queue, now=10.0, rate=rate)
    assert bool(taken.selected) == any(wants(each, 10.0) for each in queue)
    assert all(wants(each, 10.0) for each, _ in counts(taken))


def test_the_least_remaining_work_goes_first() -> None:
    large, small, middle = request(60, 60, 60), request(30), request(40, 40)
    assert counts(take([large, middle, small], now=0.0)) == ((small, 1), (middle, 1))


def test_among_equals_the_first_come_is_first() -> None:
    late, early = request(80, arrived=0.2), request(80, arrived=0.1)
    assert counts(take([late, early], now=0.3)) == ((early, 1),)


def test_what_fits_beside_a_large_item_is_not_held_up_by_it() -> None:
    small, large, tiny = request(50), request(90, arrived=0.0), request(45, 45, 45, arrived=0.1)
    assert counts(take([large, tiny, small], now=0.2)) == ((small, 1), (tiny, 1))


def test_the_price_decides_not_the_length() -> None:
    known = request(90, 90, 90, 90)
    (pick,) = take_batch([known], BatchLimits(BUDGET), now=0.0, price=lambda item: 20).selected
    assert pick == (known, (20, 20, 20, 20))


def test_a_stream_of_small_requests_cannot_starve_a_large_one() -> None:
    large = request(*[80] * 10, arrived=0.0)
    now, batches = 0.0, 0
    while large.waiting:
        now, batches = now + 0.1, batches + 1
        rivals = [request(20, arrived=now) for _ in range(20)]
        for each, count in counts(take([large, *rivals], now=now)):
            each.take(count)
        assert batches < 30, "the large request waits for ever"


def test_a_starved_giant_leaves_half_of_every_batch_to_the_others() -> None:
    giant = request(*[25] * 100, arrived=0.0)
    for step in range(20):
        small = request(25, arrived=5.0 + step)
        picks = dict(counts(take([giant, small], now=5.0 + step)))
        assert picks[small] == 1
        giant.take(picks[giant])


@settings(deadline=None)
@given(queues, st.integers(1, 50))
def test_the_queue_empties(queue: list[QueuedRequest], budget: int) -> None:
    left = [each for each in queue if wants(each, 10.0)]
    total = sum(len(each.waiting) for each in left)
    for _ in range(total):
        for each, count in counts(take(left, budget, now=10.0)):
            each.take(count)
    assert not any(each.waiting for each in left)


def split(
    queue: Sequence[QueuedRequest], budget: int = BUDGET, now: float = 0.0
) -> dict[QueuedRequest, tuple[int, ...]]:
    """Items may be split, and cost what is left of them."""
    return dict(take_batch(queue, BatchLimits(budget, chunked=True), now, price=left_of).selected)


def left_of(item: QueuedSolution) -> int:
    return item.left


def compute(queue: Sequence[QueuedRequest], now: float, budget: int = BUDGET) -> int:
    """Run one batch; what was computed. Finished requests stay, with nothing waiting."""
    spent = 0
    for each, shares in split(queue, budget, now).items():
        for item, share in reversed(list(zip(each.take(len(shares)), shares, strict=True))):
            spent += share
            if share < item.left:
                each.requeue(item, item.left - share)
    return spent


@settings(deadline=None)
@given(queues, st.integers(1, 4 * BUDGET))
def test_with_splitting_a_batch_never_exceeds_its_budget(queue: list[QueuedRequest], budget: int) -> None:
    shares = split(queue, budget, now=10.0)
    assert sum(map(sum, shares.values())) <= budget
    assert bool(shares) == any(wants(each, 10.0) for each in queue)
    for each, given_shares in shares.items():
        items = list(each.waiting)[: len(given_shares)]
        assert all(share == item.left for share, item in zip(given_shares[:-1], items[:-1], strict=True))
        assert 0 < given_shares[-1] <= items[-1].left


def test_a_giant_alone_has_whole_batches() -> None:
    giant = request(250)
    assert [compute([giant], now=0.0) for _ in range(4)] == [100, 100, 50, 0]


def test_a_small_request_passes_a_giant_and_leaves_it_the_rest() -> None:
    giant, small = request(5 * BUDGET), request(30, arrived=0.1)
    assert split([giant, small], now=0.2) == {small: (30,), giant: (70,)}


@settings(deadline=None)
@given(size=st.integers(1, BUDGET // 2), age=st.floats(0, 20))
def test_whatever_fits_into_half_a_batch_waits_for_no_giant(size: int, age: float) -> None:
    giant, small = request(50 * BUDGET, arrived=0.0), request(size, arrived=age)
    assert split([giant, small], now=age)[small] == (size,)


def test_a_nearly_full_batch_begins_nothing_large() -> None:
    giant, small = request(5 * BUDGET, arrived=0.1), request(95)
    assert split([giant, small], now=0.2) == {small: (95,)}


def test_what_was_begun_counts_with_what_is_left_of_it() -> None:
    begun, fresh = request(5 * BUDGET), request(60, arrived=0.1)
    (item,) = begun.take(1)
    begun.requeue(item, 40)
    assert (begun.left, begun.tokens) == (40, 5 * BUDGET)
    assert split([begun, fresh], now=0.2) == {begun: (40,), fresh: (60,)}


rivals = st.lists(st.lists(st.integers(1, 2 * BUDGET), min_size=1, max_size=4), min_size=1, max_size=6)


@settings(deadline=None)
@given(rivals, st.lists(st.integers(1, 6 * BUDGET), min_size=1, max_size=5))
def test_no_stream_of_others_starves_a_request(stream: list[list[int]], own: list[int]) -> None:
    """Once it is starved and the oldest, two forwards bring at least half a budget."""
    patient = request(*own, arrived=0.0)
    queue, now = [patient], 0.0
    bound = 10 + 2 * -(-2 * sum(own) // BUDGET) + 2
    for forward in range(bound):
        now += 0.1
        queue = [each for each in queue if each.waiting] + [request(*stream[forward % len(stream)], arrived=now)]
        compute(queue, now)
    assert not patient.waiting


@settings(deadline=None)
@given(st.lists(st.integers(1, 400), max_size=6))
def test_the_parts_of_an_item_add_up_to_what_it_asked_for(token_budgets: list[int]) -> None:
    (item,) = request(1000).waiting
    parts = []
    for budget in token_budgets:
        item.token_budget = budget
        parts.append(item.count_part(finished=False))
    assert sum([*parts, item.count_part(finished=True)]) == 1000
    assert all(0 <= part <= budget for part, budget in zip(parts, token_budgets, strict=True))
