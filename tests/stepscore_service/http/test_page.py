"""The pages in a real browser: headless Chromium runs their script against a live service."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import sync_playwright

import stepscore_service.http
from search_case import DicePolicy, PlainText
from service_case import fake_scorer, live
from stepscore.aggregate import AGGREGATES
from stepscore_service.serving.search import PolicyServer

PAGES = ("/", "/dashboard", "/solve")


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and os.environ.get("REQUIRE_SYSTEM_TOOLS") == "1":
        pytest.fail("chromium is not on this machine (see .ci/packages.txt)")
    if found is None:
        pytest.skip("chromium is not on this machine (see .ci/packages.txt)")
    return found


def show(address: str, until: str) -> str:
    """The document as soon as its script has put an element that this selector finds."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox", "--disable-gpu"])
        try:
            page = chromium.new_page()
            page.goto(address)
            page.wait_for_selector(until, state="attached", timeout=60_000)
            return page.content()
        finally:
            chromium.close()


def test_the_page_offers_every_aggregate() -> None:
    script = (Path(stepscore_service.http.__file__).parent / "page" / "score.js").read_text(encoding="utf-8")
    (offered,) = re.findall(r"^const AGGREGATES = (\[.*\]);$", script, re.MULTILINE)
    assert json.loads(offered) == list(AGGREGATES)


def link_to(url: str, given: dict[str, Any]) -> str:
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


def test_a_link_scores_its_solution_and_marks_the_first_error(url: str, http: httpx.Client):
    body = {
        "problem": "What is 3 + 4?",
        "solution": "3 + 4 = $\\frac{14}{2}$.\nThe answer is \\boxed{7}.",
        "model": "tiny",
    }
    answer = http.post("/score", json=body).json()
    page = show(link_to(url, body), "ol.steps li")
    steps = re.findall(r"<li(?: class=\"first\")? style=[^>]*><b>([\d.]+)</b>", page)
    assert steps == [f"{reward:.3f}" for reward in answer["rewards"]]
    assert page.count('<li class="first"') == (answer["first_error"] is not None)
    assert 'class="fraction"' in page
    assert 'class="box"' in page
    assert f"{answer['score']:.4f}" in page
    assert "curl -s http://" in page


def test_candidates_are_ranked_with_their_votes(url: str, http: httpx.Client):
    candidates = ["3 + 4 = 7\nThe answer is 7.", "3 + 4 = 8\nThe answer is 8."]
    given = {"problem": "What is 3 + 4?", "candidates": candidates, "model": "tiny", "many": True}
    body = {"problem": given["problem"], "candidates": candidates, "model": "tiny", "vote": "weighted"}
    answer = http.post("/rerank", json=body).json()
    page = show(link_to(url, given), "article h3")
    order = re.findall(r"<h3>\d+\. candidate (\d+)", page)
    assert [int(place) - 1 for place in order] == [result["index"] for result in answer["results"]]
    assert f"<td>{answer['groups'][0]['answer']}</td>" in page


def test_the_first_error_of_a_candidate_is_marked_and_candidates_have_the_numbers_of_the_answer(
    url: str, http: httpx.Client
):
    candidates = ["3 + 4 = 8\n8 - 1 = 7\nThe answer is 7.", "3 + 4 = 7"]
    given = {"problem": "What is 3 + 4?", "candidates": candidates, "model": "tiny", "many": True}
    answer = http.post("/rerank", json={key: given[key] for key in ("problem", "candidates", "model")}).json()
    threshold = next(card for card in http.get("/v1/models").json()["data"] if card["id"] == "tiny")["threshold"]
    errors = sum(min(result["rewards"]) < threshold for result in answer["results"])
    page = show(link_to(url, given), "article h3")
    assert page.count('<li class="first"') == errors
    assert re.findall(r"<label>(Candidate \d)</label>", page) == ["Candidate 1", "Candidate 2"]


def test_an_error_is_shown_with_its_code(url: str):
    page = show(link_to(url, {"problem": "What is 3 + 4?", "solution": " ", "model": "tiny"}), "#error:not([hidden])")
    assert re.search(r'<p id="error" role="alert">[^<]+\(no_steps\)</p>', page)


def test_a_broken_link_is_named(url: str):
    assert "The link does not hold an input of this page." in show(f"{url}/#nonsense!", "#error:not([hidden])")


def test_the_dashboard_reads_the_metrics(url: str, http: httpx.Client):
    http.post("/score", json={"problem": "p", "steps": ["1 + 1 = 2"], "model": "tiny"}).raise_for_status()
    page = show(f"{url}/dashboard", "#models td")
    assert "requests per second" in page
    assert "<td>tiny</td>" in page
    assert '<p id="error" role="alert" hidden="">' in page


def test_a_search_is_drawn_as_it_happens(folder: Path):
    policy = PolicyServer(DicePolicy(0.8, 3), PlainText())
    with live({"fake": fake_scorer(folder)}, search_policy=policy) as url:
        page = show(f"{url}/solve#go", ".node.chosen")
    assert page.count('<div class="node') >= 6
    assert 'class="node finished chosen"' in page
    assert "<dt>answer</dt>" in page


@pytest.mark.parametrize("path", ["/solve", "/solve#go"])
def test_a_service_without_a_policy_says_how_to_start_one_and_takes_no_problem(url: str, path: str):
    page = show(f"{url}{path}", "#no-policy:not([hidden])")
    assert "stepscore serve --policy" in page
    assert re.search(r'<button id="go" disabled="">', page)


def test_the_note_about_policies_is_hidden_if_the_service_has_one(folder: Path):
    policy = PolicyServer(DicePolicy(0.8, 3), PlainText())
    with live({"fake": fake_scorer(folder)}, search_policy=policy) as url:
        assert '<p id="no-policy" role="note" hidden' in httpx.get(f"{url}/solve").text


def test_the_dashboard_does_not_count_what_it_asks_itself(url: str, http: httpx.Client):
    http.get("/dashboard").raise_for_status()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox", "--disable-gpu"])
        try:
            page = chromium.new_page()
            page.goto(f"{url}/dashboard")
            page.wait_for_selector("#models td", state="attached")
            for _ in range(2):  # after the second one the tiles show the rates since the first reading
                with page.expect_response("**/metrics"):
                    pass
            read = "boxes => boxes.map(box => ['h2', 'strong'].map(each => box.querySelector(each).textContent))"
            tiles = dict(page.eval_on_selector_all("#tiles .tile", read))
        finally:
            chromium.close()
    assert (tiles["requests per second"], tiles["requests running"]) == ("0", "0")


@pytest.mark.parametrize("path", ["/", "/dashboard", "/solve", "/docs"])
def test_no_page_is_wider_than_a_phone(url: str, path: str):
    """What is wider, such as the table of models, scrolls by itself."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox", "--disable-gpu"])
        try:
            page = chromium.new_page(viewport={"width": 390, "height": 844})
            page.goto(f"{url}{path}")
            if path == "/dashboard":
                page.wait_for_selector("#models td", state="attached")
                assert page.locator(".tile", has_text="KV cache filled").locator("strong").inner_text().endswith("%")
            assert page.evaluate("document.documentElement.scrollWidth") == 390
        finally:
            chromium.close()
