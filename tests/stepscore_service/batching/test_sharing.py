"""`take_batch` between tenants and between interactive and bulk work, and what a new request meets in the queue."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from stepscore.types import Encoded, EncodedSolution, Solution, SplitSolution
from stepscore_service.batching.queue import (
    BULK_PATIENCE,
    BatchLimits,
    QueuedRequest,
    QueuedSolution,
    load_for,
    take_batch,
)

BUDGET = 100
UNREAD = SplitSolution(Solution("", ()), (), from_text=False)


def request(*tokens: int, tenant: str = "", bulk: bool = False, arrived: float = 0.0) -> QueuedRequest:
    made = QueuedRequest(arrived, tenant=tenant, bulk=bulk)
    for index, count in enumerate(tokens):
        encoded = EncodedSolution((Encoded((7,) * count, (count - 1,)),), steps=1)
        made.add(QueuedSolution(encoded=encoded, request=made, index=index, split=UNREAD, left=count))
    return made


def spent(queue: Sequence[QueuedRequest], now: float = 0.0, *, chunked: bool = False) -> dict[str, int]:
    """Tokens that the next batch gives to each tenant."""
    batch = take_batch(queue, BatchLimits(BUDGET, chunked=chunked), now, price=lambda each: each.left)
    given: dict[str, int] = {}
    for each, shares in batch.selected:
        given[each.tenant] = given.get(each.tenant, 0) + sum(shares)
    return given


def test_a_tenant_with_many_requests_leaves_another_its_half() -> None:
    flood = [request(10, tenant="flood") for _ in range(50)]
    assert spent([*flood, request(*[25] * 8, tenant="quiet")]) == {"flood": 50, "quiet": 50}


def test_a_tenant_whose_requests_are_old_leaves_another_a_quarter() -> None:
    flood = [request(10, tenant="flood") for _ in range(50)]
    assert spent([*flood, request(*[5] * 16, tenant="quiet", arrived=9.9)], now=10.0)["quiet"] >= BUDGET // 4


def test_what_a_tenant_does_not_need_goes_to_the_others() -> None:
    flood = [request(10, tenant="flood") for _ in range(50)]
    assert spent([*flood, request(10, tenant="quiet")]) == {"flood": 90, "quiet": 10}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from("abc"), st.booleans(), st.floats(0, 50)), max_size=20),
    st.booleans(),
)
def test_sharing_keeps_the_budget_and_makes_progress(rows: list[tuple[int, str, bool, float]], chunked: bool) -> None:
    queue = [request(size, tenant=who, bulk=bulk, arrived=when) for size, who, bulk, when in rows]
    given_tokens = spent(queue, now=50.0, chunked=chunked)
    assert sum(given_tokens.values()) <= BUDGET
    assert bool(given_tokens) == bool(queue)


def test_bulk_work_gets_what_interactive_work_leaves() -> None:
    bulk = request(*[10] * 20, tenant="bulk", bulk=True)
    assert spent([bulk, request(70, tenant="person", arrived=0.1)]) == {"person": 70, "bulk": 30}


def test_bulk_work_is_not_starved_for_ever() -> None:
    bulk, now = request(*[50] * 4, tenant="bulk", bulk=True), 0.0
    while bulk.waiting:
        now += 1.0
        people = [request(20, tenant="person", arrived=now) for _ in range(10)]
        batch = take_batch([bulk, *people], BatchLimits(BUDGET), now, price=lambda each: each.left)
        for each, shares in batch.selected:
            each.take(len(shares))
        assert now < BULK_PATIENCE + 10


def test_a_request_meets_shorter_work_of_its_lane_and_the_forward_that_runs() -> None:
    queue = [request(10), request(500), request(40, bulk=True)]
    load = load_for(request(20), queue, running=7, tokens_per_second=100.0)
    assert (load.waiting, load.ahead, load.tenants) == (550, 7 + 2 * 10, 1)
    assert load_for(request(20, bulk=True), queue, running=7, tokens_per_second=0).ahead == 7 + 550
    assert load.seconds_for(50) == 0.5


def test_a_tenant_meets_no_more_of_another_than_even_shares() -> None:
    flood = [request(10, tenant="flood") for _ in range(50)]
    load = load_for(request(20, tenant="quiet"), flood, running=0, tokens_per_second=0)
    assert (load.waiting, load.waiting_of_tenant, load.tenants, load.ahead) == (500, 0, 2, 20)


def test_a_request_ends_with_the_forward_that_it_shares() -> None:
    longer = [request(60), request(500)]
    assert load_for(request(20), longer, running=0, tokens_per_second=0).ahead == 0
    assert load_for(request(20), longer, running=0, tokens_per_second=0, budget=BUDGET).ahead == BUDGET
    assert load_for(request(20), longer[:1], running=0, tokens_per_second=0, budget=BUDGET).ahead == 60
