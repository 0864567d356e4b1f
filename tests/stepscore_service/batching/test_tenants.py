"""A tenant's requests reuse what they computed themselves, and nothing of another tenant's; rewards are the same."""

from __future__ import annotations

import httpx
import pytest

from service_case import PROBLEM, STEPS, metric

BODY = {"problem": f"{PROBLEM} (tenants)", "steps": STEPS}


def score_as_tenant(http: httpx.Client, route: str, tenant: str | None) -> tuple[int, list[float]]:
    """Tokens that the request computed, and its rewards."""
    body = BODY if route == "/score" else {"problem": BODY["problem"], "candidates": ["\n".join(STEPS)]}
    before = metric(http, "stepscore_tokens_computed_total", model="tiny")
    answer = http.post(route, json=body, headers={"X-Tenant": tenant} if tenant else {}).json()
    after = metric(http, "stepscore_tokens_computed_total", model="tiny")
    return round(after - before), answer["rewards"] if route == "/score" else answer["results"][0]["rewards"]


@pytest.mark.parametrize("route", ["/score", "/rerank"])
def test_nothing_computed_for_a_tenant_is_reused_for_another(http: httpx.Client, route: str) -> None:
    first, rewards = score_as_tenant(http, route, f"red{route}")
    assert first > 0
    assert score_as_tenant(http, route, f"red{route}") == (0, rewards)
    other, same = score_as_tenant(http, route, f"blue{route}")
    assert other == first
    assert same == pytest.approx(rewards, abs=1e-6)


def test_a_tenant_that_is_too_long_is_refused(http: httpx.Client) -> None:
    answer = http.post("/score", json=BODY, headers={"X-Tenant": "x" * 300})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"
