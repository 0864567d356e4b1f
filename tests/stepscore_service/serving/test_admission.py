"""Admission: by tokens, by estimated wait, by the caller's deadline, by a client's own quota."""

from __future__ import annotations

import pytest

from stepscore_service.batching.protocols import QueueLoad, RequestContext
from stepscore_service.errors import Overloaded, QuotaExceeded, TooManyTokens
from stepscore_service.serving.admission import Admission

ANY = RequestContext()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_queue_holds_so_many_tokens() -> None:
    admission = Admission(100)
    admission.check(40, QueueLoad(waiting=60), ANY)
    with pytest.raises(Overloaded) as caught:
        admission.check(41, QueueLoad(waiting=60), ANY)
    assert caught.value.detail["limit"] == 100
    with pytest.raises(Overloaded):
        admission.check(0, QueueLoad(waiting=100), ANY)
    with pytest.raises(TooManyTokens):
        admission.check(101, QueueLoad(), ANY)


def test_a_tenant_that_fills_the_queue_does_not_lock_out_another() -> None:
    admission = Admission(100)
    admission.check(50, QueueLoad(waiting=100, waiting_of_tenant=0, tenants=2), ANY)
    with pytest.raises(Overloaded):
        admission.check(51, QueueLoad(waiting=100, waiting_of_tenant=0, tenants=2), ANY)
    with pytest.raises(Overloaded):
        admission.check(1, QueueLoad(waiting=100, waiting_of_tenant=100, tenants=2), ANY)


def test_a_wait_longer_than_the_limit_is_refused_with_the_estimate() -> None:
    admission = Admission(10_000, max_seconds=5.0)
    admission.check(1000, QueueLoad(ahead=400, tokens_per_second=100), ANY)
    with pytest.raises(Overloaded) as caught:
        admission.check(1, QueueLoad(ahead=700, tokens_per_second=100), ANY)
    assert caught.value.detail["retry_after_seconds"] == 7
    assert caught.value.detail["estimated_seconds"] == 7.0
    admission.check(1, QueueLoad(ahead=700), ANY)


def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    admission, in_two_seconds = Admission(10_000, clock=Clock()), RequestContext(deadline=102.0)
    admission.check(50, QueueLoad(ahead=100, tokens_per_second=100), in_two_seconds)
    with pytest.raises(Overloaded):
        admission.check(150, QueueLoad(ahead=100, tokens_per_second=100), in_two_seconds)


def test_an_estimate_alone_refuses_nothing_when_nothing_is_ahead() -> None:
    Admission(10_000, clock=Clock()).check(900, QueueLoad(tokens_per_second=100), RequestContext(deadline=102.0))


def test_a_quota_is_the_clients_own_and_fills_up_again() -> None:
    clock = Clock()
    admission = Admission(10_000, clock=clock)
    one = RequestContext(tenant="one", tokens_per_minute=600)
    admission.check(0, QueueLoad(), one)
    admission.check(600, QueueLoad(), one)
    with pytest.raises(QuotaExceeded):
        admission.check(0, QueueLoad(), one)
    admission.check(600, QueueLoad(), RequestContext(tenant="two", tokens_per_minute=600))
    clock.now += 6.0
    with pytest.raises(QuotaExceeded) as caught:
        admission.check(100, QueueLoad(), one)
    assert caught.value.detail == {"limit": 600, "retry_after_seconds": 4}
    admission.check(60, QueueLoad(), one)


def test_a_request_larger_than_a_minutes_quota_is_let_in_when_nothing_was_used() -> None:
    clock = Clock()
    admission, small = Admission(10_000, clock=clock), RequestContext(tenant="one", tokens_per_minute=600)
    admission.check(1800, QueueLoad(), small)
    clock.now += 60.0
    with pytest.raises(QuotaExceeded):
        admission.check(1, QueueLoad(), small)
