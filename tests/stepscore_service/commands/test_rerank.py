"""`stepscore rerank`: the order of candidates, and a summary that can be recomputed by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_case import invoke, read, write
from service_case import connect, fake_scorer, live
from stepscore.verify.answers import FinalAnswer
from stepscore.verify.vote import vote
from stepscore_service.jobs.score.rerank import RerankTally


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


ROWS: list[dict[str, Any]] = [
    {
        "id": 1,
        "problem": "2+3?",
        "candidates": ["2+3=5\nA: 5", "2+3=6\nA: 6", "I say 5\nA: 5.0"],
        "correct": [True, False, True],
    },
    {"id": 2, "problem": "4+4?", "candidates": [["4+4=9", "A: 9"], ["4+4=8", "A: 8"], ["A: 9"]], "answer": "8"},
]


def test_candidates_come_sorted_and_grouped_by_answer(tmp_path: Path, fake: list[str]) -> None:
    result = invoke("rerank", write(tmp_path / "in.jsonl", ROWS), *fake)
    assert result.exit_code == 0, result.output
    first, second = read(tmp_path / "in.reranked.jsonl")
    for row in (first, second):
        scores = [entry["score"] for entry in row["results"]]
        assert scores == sorted(scores, reverse=True)
        assert row["best"] == row["results"][0]["index"]
        assert sorted(entry["index"] for entry in row["results"]) == [0, 1, 2]
    groups = {tuple(sorted(group["members"])): group["answer"] for group in first["groups"]}
    assert set(groups) == {(0, 2), (1,)}
    assert groups[1,] == "6"
    assert {tuple(sorted(group["members"])) for group in second["groups"]} == {(0, 2), (1,)}
    assert first["dtype"]
    assert second["correct"] == [False, True, False]


def test_a_file_and_the_service_give_one_answer(tmp_path: Path, folder: Path, fake: list[str]) -> None:
    invoke("rerank", write(tmp_path / "in.jsonl", ROWS), *fake)
    rows = read(tmp_path / "in.reranked.jsonl")
    with live({"tiny": fake_scorer(folder, "tiny")}) as url, connect(url) as http:
        for given, row in zip(ROWS, rows, strict=True):
            body = {"problem": given["problem"], "candidates": given["candidates"], "vote": "weighted"}
            answer = http.post("/rerank", json=body).json()
            shared = {name: row[name] for name in answer.keys() - {"id", "usage"}}
            assert shared == {name: answer[name] for name in shared}


def test_the_summary_is_what_the_rows_say(tmp_path: Path, fake: list[str]) -> None:
    result = invoke("rerank", write(tmp_path / "in.jsonl", ROWS), *fake)
    rows = read(tmp_path / "in.reranked.jsonl")
    best = sum(row["correct"][row["best"]] for row in rows) / 2
    said = {
        line.split("│")[1].strip(): line.split("│")[2].strip() for line in result.output.splitlines() if "│" in line
    }
    assert "2 problems, 3 candidates each" in result.output
    assert said["chance (mean candidate)"] == "50.0%"
    assert said["majority vote"] == "50.0%"
    assert said["score (best of 3)"] == f"{best:.1%}"
    assert said["an oracle (pass@3)"] == "100.0%"


def test_a_resumed_run_prints_the_same_summary(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)
    whole = invoke("rerank", source, *fake).output
    out = tmp_path / "in.reranked.jsonl"
    out.write_text(out.read_text().splitlines(keepends=True)[0])
    again = invoke("rerank", source, *fake).output
    assert again[again.index("2 problems") :] == whole[whole.index("2 problems") :]


def test_one_bad_candidate_makes_its_row_an_error_and_no_other(tmp_path: Path, fake: list[str]) -> None:
    rows = [*ROWS, {"id": 3, "problem": "p", "candidates": ["fine", "  "]}, {"id": 4, "problem": "p", "candidates": []}]
    rows.append({"id": 5, "problem": "p", "candidates": ["a", "b"], "correct": [True]})
    result = invoke("rerank", write(tmp_path / "in.jsonl", rows), *fake)
    assert result.exit_code == 1
    done = read(tmp_path / "in.reranked.jsonl")
    assert ["error" in row for row in done] == [False, False, True, True, True]
    assert (done[2]["candidate"], done[2]["error"]["code"]) == (1, "no_steps")
    assert "candidate 1" in done[2]["error"]["message"]
    assert '"correct" is not a list of 2' in done[4]["error"]["message"]


def test_output_can_go_to_standard_output(tmp_path: Path, fake: list[str]) -> None:
    result = invoke("rerank", write(tmp_path / "in.jsonl", ROWS), "--out", "-", *fake)
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [1, 2]
    assert not (tmp_path / "in.reranked.jsonl").exists()


def ranked(correct: list[bool], answers: list[str | None], scores: list[float]) -> dict[str, Any]:
    """A row as the command writes it."""
    finals = [None if answer is None else FinalAnswer(answer, "tag") for answer in answers]
    groups = [asdict(each) | {"best": each.members[0]} for each in vote(scores, finals, "weighted")]
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    results = [{"index": index, "score": scores[index]} for index in order]
    return {"correct": correct, "best": order[0], "results": results, "groups": groups}


def test_the_tally_counts_each_way_of_choosing() -> None:
    tally = RerankTally()
    rows: list[Mapping[str, Any]] = [
        ranked([True, False, False, False], ["5", "6", None, "6"], [0.9, 0.3, 0.2, 0.4]),
        ranked([True, False], ["5", "6"], [0.2, 0.6]),
        ranked([False, False], [None, None], [0.5, 0.1]),
        {"error": {}, "correct": [True, True]},
        {"best": 0},
    ]
    tally.add([dict(row) for row in rows])
    found = (tally.rows, tally.mean, tally.majority, tally.weighted, tally.best, tally.any)
    assert found == (3, 0.75, 0.5, 1, 1, 2)
    assert (tally.fewest, tally.most) == (2, 4)


tied = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["5", "6", "7", None]), st.sampled_from([0.25, 0.5])),
    min_size=1,
    max_size=5,
)


@given(tied, st.randoms())
def test_the_order_of_the_candidates_in_the_file_gains_nothing(
    table: list[tuple[bool, str | None, float]], rng: random.Random
) -> None:
    """Four models' solutions in their files' order would let a tie of four answers count as the first model's vote."""
    by_answer = {answer: right for right, answer, _ in table}
    table = [(by_answer[answer], answer, score) for _, answer, score in table]
    found = []
    for _ in range(2):
        tally = RerankTally()
        correct, answers, scores = (list(column) for column in zip(*table, strict=True))
        tally.add([ranked(correct, answers, scores)])
        found.append([tally.mean, tally.majority, tally.weighted, tally.best, tally.any])
        rng.shuffle(table)
    assert found[0] == pytest.approx(found[1])
