"""`stepscore rerank`: the order of candidates, and a summary that can be recomputed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli_case import invoke, read, write
from service_case import connect, fake_scorer, live
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


def group(answer: str | None, *members: int) -> dict[str, Any]:
    return {"answer": answer, "best": members[0], "members": list(members)}


def test_the_tally_counts_each_way_of_choosing() -> None:
    tally = RerankTally()
    rows: list[Mapping[str, Any]] = [
        {
            "correct": [True, False, False, False],
            "best": 0,
            "groups": [group("5", 0), group("6", 3, 1), group(None, 2)],
        },
        {"correct": [True, False], "best": 1, "groups": [group("6", 1), group("5", 0)]},
        {"correct": [False, False], "best": 0, "groups": [group(None, 0), group(None, 1)]},
        {"error": {}, "correct": [True, True]},
        {"best": 0},
    ]
    tally.add([dict(row) for row in rows])
    assert (tally.rows, tally.mean, tally.majority, tally.weighted, tally.best, tally.any) == (3, 0.75, 1, 1, 1, 2)
    assert (tally.fewest, tally.most) == (2, 4)
