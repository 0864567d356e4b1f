"""Layout decides no score: through the server, for every way to split."""

from __future__ import annotations

import httpx
import pytest

PARTS = ["We add 3 and 4.", "Step 1: that is 7.", "Step 2: so 12."]
WAYS = ["auto", "lines", "paragraphs", "sentences", "numbered", "code", r"regex:\n\n"]
FENCED = ["```\nx = 3\n```"]


@pytest.mark.parametrize("how", WAYS)
def test_rules_tags_and_headings_change_no_reward(http: httpx.Client, how: str) -> None:
    parts = PARTS + (FENCED if how == "code" else [])
    decorated = [
        "<think>",
        parts[0],
        "---",
        "### Solution",
        *parts[1:],
        "</think>",
        "**Final Answer**",
        "The answer is 12.",
    ]
    plain = score(http, "\n\n".join([*parts, "The answer is 12."]), how)
    assert score(http, "\n\n".join(decorated), how) == plain
    assert score(http, "\r\n\r\n".join(decorated), how) == plain


def score(http: httpx.Client, solution: str, how: str) -> list[float]:
    body = {"model": "tiny", "problem": "3 + 4 + 5?", "solution": solution, "split": how}
    answer = http.post("/score", json=body).raise_for_status().json()
    assert len(answer["spans"]) == len(answer["rewards"]) > 0
    return [round(reward, 6) for reward in answer["rewards"]]
