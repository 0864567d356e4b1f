"""/rerank over HTTP: order, the words of other clients, votes, candidates that cannot be scored."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service_case import PROBLEM, metric

CANDIDATES = [
    "3 + 4 = 7\nThe answer is 7.",
    "3 + 4 = 8\nThe answer is 8.",
    "4 + 3 = 7, so 7.\nThe answer is $7$.",
    "We cannot know.",
]


def rerank(http: httpx.Client, path: str = "/rerank", **body: Any) -> dict[str, Any]:
    answer = http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_results_are_sorted_and_scored_as_by_score(http: httpx.Client) -> None:
    body = rerank(http, problem=PROBLEM, candidates=CANDIDATES)
    scores = [each["score"] for each in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert sorted(each["index"] for each in body["results"]) == [0, 1, 2, 3]
    for each in body["results"]:
        alone = http.post("/score", json={"problem": PROBLEM, "solution": CANDIDATES[each["index"]]}).json()
        assert each["relevance_score"] == each["score"] == pytest.approx(alone["score"], abs=1e-5)
        assert each["rewards"] == pytest.approx(alone["rewards"], abs=1e-5)
    assert set(body) == {"id", "model", "revision", "dtype", "aggregate", "results", "usage"}


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
@pytest.mark.parametrize("name", ["documents", "texts", "solutions", "candidates"])
def test_the_words_of_other_clients(http: httpx.Client, path: str, name: str) -> None:
    body = rerank(http, path, query=PROBLEM, **{name: CANDIDATES}, top_n=2, return_documents=True)
    assert len(body["results"]) == 2
    for each in body["results"]:
        assert each["document"] == {"text": CANDIDATES[each["index"]]}
    assert body["usage"]["total_tokens"] > 0


def test_candidates_of_every_form(http: httpx.Client) -> None:
    forms: list[object] = [CANDIDATES[0], {"text": CANDIDATES[0]}, CANDIDATES[0].split("\n")]
    results = rerank(http, problem=PROBLEM, candidates=forms)["results"]
    assert results[0]["rewards"] == results[1]["rewards"] == results[2]["rewards"]
    assert [each["index"] for each in results] == [0, 1, 2], "ties keep the order of the candidates"


def test_no_candidates_are_no_error(http: httpx.Client) -> None:
    assert rerank(http, problem=PROBLEM, candidates=[], vote="weighted")["results"] == []


@pytest.mark.parametrize("vote", ["weighted", "majority"])
def test_a_vote_groups_equal_answers(http: httpx.Client, vote: str) -> None:
    body = rerank(http, problem=PROBLEM, candidates=CANDIDATES, vote=vote, aggregate="min")
    score = {each["index"]: each["score"] for each in body["results"]}
    groups = {tuple(sorted(group["members"])): group for group in body["groups"]}
    assert set(groups) == {(0, 2), (1,), (3,)}
    seven = groups[0, 2]
    assert seven["weight"] == pytest.approx(score[0] + score[2] if vote == "weighted" else 2)
    assert seven["score"] == score[seven["best"]] == max(score[0], score[2])
    assert seven["answer"] in {"7", "$7$"}
    voting = [group["weight"] for group in body["groups"] if group["answer"] is not None]
    assert voting == sorted(voting, reverse=True)


def test_a_candidate_that_cannot_be_scored_is_named(http: httpx.Client) -> None:
    answer = http.post("/rerank", json={"problem": PROBLEM, "candidates": ["fine", "7 + 1 " * 2000]})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_long")
    assert answer.json()["detail"]["index"] == 1


def test_or_left_out_on_request(http: httpx.Client) -> None:
    body = rerank(http, problem=PROBLEM, candidates=[[], "fine", "so 7"], on_error="omit", vote="majority")
    assert sorted(each["index"] for each in body["results"]) == [1, 2]
    assert [(each["index"], each["error"]["code"]) for each in body["errors"]] == [(0, "no_steps")]
    assert {member for group in body["groups"] for member in group["members"]} == {1, 2}


def test_an_empty_problem_is_the_fault_of_no_candidate(http: httpx.Client) -> None:
    answer = http.post("/rerank", json={"problem": " ", "candidates": ["7", "8"], "on_error": "omit"})
    assert (answer.status_code, answer.json()["code"]) == (422, "no_problem")


def test_every_candidate_that_cannot_be_scored_counts_once(http: httpx.Client) -> None:
    def counted(candidates: list[object], **options: str) -> float:
        before = metric(http, "stepscore_errors_total", code="no_steps")
        http.post("/rerank", json={"problem": PROBLEM, "candidates": candidates} | options)
        return metric(http, "stepscore_errors_total", code="no_steps") - before

    assert counted([[], "fine", []], on_error="omit") == 2
    assert counted(["fine", []]) == 1, "as a result and as the answer it is one error"


def test_a_thousand_candidates(http: httpx.Client) -> None:
    candidates = [f"3 + {number} = {3 + number}" for number in range(1024)]
    results = rerank(http, problem=PROBLEM, candidates=candidates)["results"]
    assert sorted(each["index"] for each in results) == list(range(1024))
