"""`stepscore search` over tiny checkpoints: a policy in process, a PRM in process or behind a live service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import checkpoints
import checkpoints_causal
from cli_case import invoke

SMALL = ("--step-tokens", "6", "--solution-tokens", "12", "--dtype", "float32")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags that name a policy and a PRM."""
    folder = tmp_path_factory.mktemp("search")
    policy = checkpoints_causal.causal(folder / "policy", kind="qwen2")
    prm = checkpoints.qwen_math(folder / "prm")
    return ["--policy", str(policy), "--model", str(prm), *SMALL]


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    file = tmp_path / "problems.jsonl"
    rows = [{"id": f"p{n}", "problem": f"What is {n} + {n}?", "answer": 2 * n} for n in range(3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def rows_of(file: Path) -> list[dict[str, Any]]:
    return sorted(map(json.loads, file.read_text(encoding="utf-8").splitlines()), key=lambda row: row["line"])


@pytest.mark.parametrize(
    "method", ["greedy", "majority:n=2", "best_of_n:n=2", "beam:n=2,width=2,rounds=3", "mcts:simulations=2"]
)
def test_every_problem_gets_a_row_with_its_tree(models: list[str], problems: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / "found.jsonl"
    result = invoke("search", str(problems), "--method", method, "--out", str(out), *models)
    assert result.exit_code == 0, result.output
    rows = rows_of(out)
    assert [row["id"] for row in rows] == ["p0", "p1", "p2"]
    assert all(row["method"] == method and row["trace"]["nodes"] for row in rows)
    assert all(isinstance(row["correct"], bool) for row in rows)
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert "What is 2 + 2?" in page
    assert "__RUN__" not in page


def test_what_a_search_wrote_is_shown_scored_and_drawn(models: list[str], problems: Path, tmp_path: Path) -> None:
    """Its `candidates` are a number, which is no list of solutions."""
    found, prm = tmp_path / "found.jsonl", [*models[2:4], "--dtype", "float32"]
    assert invoke("search", str(problems), "--method", "greedy", "--out", str(found), *models).exit_code == 0
    shown = invoke("show", str(found), "--line", "2", *prm)
    assert (shown.exit_code, "score " in shown.output) == (0, True), shown.output
    scored = invoke("score", str(found), *prm)
    assert scored.exit_code == 0, scored.output
    assert invoke("report", str(tmp_path / "found.scored.jsonl")).exit_code == 0
    assert [row["method"] for row in rows_of(tmp_path / "found.scored.jsonl")] == ["greedy"] * 3


def test_a_second_run_continues_and_another_one_is_refused(models: list[str], problems: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.jsonl"
    command = ["search", str(problems), "--method", "best_of_n:n=2", "--out", str(out), *models]
    assert invoke(*command).exit_code == 0
    whole = rows_of(out)
    lines = out.read_text(encoding="utf-8").splitlines(keepends=True)
    out.write_text("".join(lines[:-1]) + lines[-1][:40], encoding="utf-8")  # as a kill leaves it
    again = invoke(*command)
    assert again.exit_code == 0, again.output
    assert [{**row, "seconds": 0} for row in rows_of(out)] == [{**row, "seconds": 0} for row in whole]
    other = invoke("search", str(problems), "--method", "best_of_n:n=3", "--out", str(out), *models)
    assert other.exit_code == 2
    assert "options" in other.output


def test_comparing_methods_writes_a_table_and_a_plot(models: list[str], problems: Path, tmp_path: Path) -> None:
    out = tmp_path / "comparison"
    result = invoke(
        "search", "compare", str(problems), "--out", str(out), "--method", "greedy", "--method", "weighted:n=2", *models
    )
    assert result.exit_code == 0, result.output
    table = (out / "comparison.md").read_text(encoding="utf-8")
    assert "| greedy | 3 |" in table
    assert "| weighted:n=2 | 3 |" in table
    assert (out / "comparison.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "bestofn"), "no search method is called 'bestofn'"),
        (("--method", "beam:n=6,width=4"), "divisible"),
        (("--method", "beam:breadth=4"), "has no option 'breadth'"),
        (("--method", "beam:8"), "is not an option"),
        (("--method", "greedy", "--width", "4"), "greedy has no option 'width'"),
        (("--method", "greedy", "--n", "4"), "greedy has no option 'n'"),
        (("--method", "mcts:simulations=0"), "simulations"),
        (("--method", "best_of_n:n=two"), "option n of best_of_n is 'two'"),
        (("--method", "best_of_n:n=2", "--n", "4"), "n of best_of_n is given as 4 and as 2; give it once"),
        (("--method", "best_of_n:n=2,n=3"), "n of best_of_n is given as 2 and as 3; give it once"),
        (("--method", "mcts:n=2", "--n", "4"), "n of mcts is given as 4 and as 2; give it once"),
        (("--method", "mcts:simulations=2", "--n", "4"), "as 2 and as 4 (n of mcts is its simulations); give it once"),
        (("--method", "beam:width=2", "--width", "4"), "width of beam is given as 4 and as 2; give it once"),
        (("--separator", ""), "separator between steps is empty"),
        (("--policy-temperature", "inf"), "--policy-temperature is inf"),
        (("--method", "greedy", "--aggregate", "banana"), "banana"),
        (("--choice", "banana"), "no choice is called 'banana'"),
        (("--method", "majority", "--choice", "score"), "asks for no scores"),
        (("--prompt", "Solve it."), "holds no {problem}"),
        (("--policy", "http://127.0.0.1:here"), "is not an address"),
        (("--policy", "http://"), "is not an address"),
        (("--aggregate", "median"), "median"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(
    models: list[str], problems: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = invoke("search", str(problems), *models, *arguments)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.output.split())


def test_a_row_without_a_problem_is_an_error_and_ends_nothing(models: list[str], tmp_path: Path) -> None:
    file, out = tmp_path / "mixed.jsonl", tmp_path / "found.jsonl"
    file.write_text('{"problem": "1 + 1?"}\n{"question": "2 + 2?"}\n', encoding="utf-8")
    result = invoke("search", str(file), "--method", "greedy", "--out", str(out), *models)
    assert result.exit_code == 1, result.output
    good, bad = rows_of(out)
    assert "trace" in good
    assert bad["error"]["code"] == "invalid_input"


@pytest.mark.parametrize("bad", [{"problem": " "}, {"answer": [1]}, {"answer": True}, {"answer": ""}])
def test_a_row_that_cannot_be_solved_or_judged_is_an_error_before_anything_is_sampled(
    models: list[str], tmp_path: Path, bad: dict[str, Any]
) -> None:
    file, out = tmp_path / "mixed.jsonl", tmp_path / "found.jsonl"
    rows = [{"problem": "1 + 1?", "answer": None}, {"problem": "2 + 2?", **bad}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = invoke("search", str(file), "--method", "greedy", "--out", str(out), *models)
    assert result.exit_code == 1, result.output
    good, wrong = rows_of(out)
    assert "trace" in good
    assert "trace" not in wrong
    assert wrong["error"]["detail"].get("field") == ("answer" if "answer" in bad else None)


def test_results_that_cannot_be_written_are_refused_before_a_model_is_opened(problems: Path, tmp_path: Path) -> None:
    result = invoke("search", str(problems), "--model", "/nowhere", "--out", str(tmp_path / "nowhere" / "found.jsonl"))
    assert (result.exit_code, "there is no folder" in " ".join(result.output.split())) == (2, True), result.output


def test_results_and_their_page_never_share_a_file(models: list[str], problems: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.html"
    result = invoke("search", str(problems), "--method", "greedy", "--out", str(out), *models)
    assert (result.exit_code, "Give another --out" in " ".join(result.output.split())) == (2, True), result.output
    assert not out.exists()


def test_a_folder_of_comparisons_that_cannot_be_made_is_refused(models: list[str], problems: Path) -> None:
    result = invoke("search", "compare", str(problems), "--out", str(problems), "--method", "greedy", *models)
    assert (result.exit_code, "Give another --out" in " ".join(result.output.split())) == (2, True), result.output


def test_a_problem_that_no_solution_came_out_of_says_why(models: list[str], problems: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.jsonl"
    spent = ("--method", "beam:n=2,width=2", "--separator", "\ufffd", "--budget-rounds", "1", "--step-tokens", "200")
    result = invoke("search", str(problems), *models, *spent, "--out", str(out))
    assert result.exit_code == 0, result.output
    for row in rows_of(out):
        assert (row["solution"] is None) == bool(row.get("reason")), row["trace"]
