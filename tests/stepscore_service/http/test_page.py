"""The pages in a real browser: headless Chromium runs their script against a live service and prints what it shows."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from search_case import DicePolicy, PlainText
from service_case import fake_scorer, live
from stepscore_service.serving.search import PolicyServer

PAGES = ("/", "/dashboard", "/solve")


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and os.environ.get("REQUIRE_SYSTEM_TOOLS") == "1":
        pytest.fail("chromium is not on this machine (see .ci/packages.txt)")
    if found is None:
        pytest.skip("chromium is not on this machine (see .ci/packages.txt)")
    return found


def shown(address: str, profile: Path, until: str = "") -> str:
    """The document after its script has run. until: a text that it holds then.

    Chromium's virtual clock does not wait for an answer that is streamed, so a slow machine gets some more tries.
    """
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=20000"]
    command = [browser(), *flags, f"--user-data-dir={profile}", address]
    for _ in range(8):
        page = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        if until in page:
            break
    return page


def linked(url: str, given: dict[str, Any]) -> str:
    """A link that reproduces an input, as the page makes it."""
    return f"{url}/#{base64.urlsafe_b64encode(json.dumps(given).encode()).decode()}"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_needs_nothing_from_outside(http: httpx.Client, path: str):
    html = http.get(path).text
    links = re.findall(r"(?:src|href)=\"(page/[^\"]+)\"", html)
    assert len(links) >= 2
    for link in links:
        text = http.get(f"/{link}").raise_for_status().text
        assert not re.search(r"https?://(?!www\.w3\.org)", text), link
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", html)


def test_a_link_scores_its_solution_and_marks_the_first_error(url: str, http: httpx.Client, tmp_path: Path):
    body = {
        "problem": "What is 3 + 4?",
        "solution": "3 + 4 = $\\frac{14}{2}$.\nThe answer is \\boxed{7}.",
        "model": "tiny",
    }
    answer = http.post("/score", json=body).json()
    page = shown(linked(url, body), tmp_path, until="curl -s http")
    steps = re.findall(r"<li(?: class=\"first\")? style=[^>]*><b>([\d.]+)</b>", page)
    assert steps == [f"{reward:.3f}" for reward in answer["rewards"]]
    assert page.count('<li class="first"') == (answer["first_error"] is not None)
    assert 'class="fraction"' in page
    assert 'class="box"' in page
    assert f"{answer['score']:.4f}" in page
    assert "curl -s http://" in page


def test_candidates_are_ranked_with_their_votes(url: str, http: httpx.Client, tmp_path: Path):
    candidates = ["3 + 4 = 7\nThe answer is 7.", "3 + 4 = 8\nThe answer is 8."]
    given = {"problem": "What is 3 + 4?", "candidates": candidates, "model": "tiny", "many": True}
    body = {"problem": given["problem"], "candidates": candidates, "model": "tiny", "vote": "weighted"}
    answer = http.post("/rerank", json=body).json()
    page = shown(linked(url, given), tmp_path, until="Best first")
    order = re.findall(r"<h3>\d+\. candidate (\d+)", page)
    assert [int(place) - 1 for place in order] == [result["index"] for result in answer["results"]]
    assert f"<td>{answer['groups'][0]['answer']}</td>" in page


def test_an_error_is_shown_with_its_code(url: str, tmp_path: Path):
    page = shown(
        linked(url, {"problem": "What is 3 + 4?", "solution": " ", "model": "tiny"}), tmp_path, until="no_steps"
    )
    assert re.search(r'<p id="error" role="alert">[^<]+\(no_steps\)</p>', page)


def test_a_broken_link_is_named(url: str, tmp_path: Path):
    assert "The link does not hold an input of this page." in shown(f"{url}/#nonsense!", tmp_path)


def test_the_dashboard_reads_the_metrics(url: str, http: httpx.Client, tmp_path: Path):
    http.post("/score", json={"problem": "p", "steps": ["1 + 1 = 2"], "model": "tiny"}).raise_for_status()
    page = shown(f"{url}/dashboard", tmp_path, until="<td>tiny</td>")
    assert "requests per second" in page
    assert "<td>tiny</td>" in page
    assert '<p id="error" role="alert" hidden="">' in page


def test_a_search_is_drawn_as_it_happens(folder: Path, tmp_path: Path):
    policy = PolicyServer(DicePolicy(0.8, 3), PlainText())
    with live({"fake": fake_scorer(folder)}, search_policy=policy) as url:
        page = shown(f"{url}/solve#go", tmp_path, until="finished chosen")
    assert page.count('<div class="node') >= 6
    assert 'class="node finished chosen"' in page
    assert "<dt>answer</dt>" in page


def test_a_service_that_cannot_search_says_so(url: str, tmp_path: Path):
    assert "(no_policy)" in shown(f"{url}/solve#go", tmp_path, until="(no_policy)")
