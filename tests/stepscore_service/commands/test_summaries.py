"""What `score` and `rerank` say at their end, and that a finished command says so without opening a model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli_case import invoke, read, solutions, write


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


CANDIDATES: list[dict[str, Any]] = [
    {"id": n, "problem": f"Problem {n}", "candidates": [f"{n} is {m}.\n\nThe answer is {m}." for m in range(3)]}
    for n in range(7)
]


def test_score_sums_up_its_rows(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "in.jsonl", [*solutions(8), {"problem": "p", "steps": [" "]}])
    said = invoke("score", source, *fake).output
    rows = [row for row in read(tmp_path / "in.scored.jsonl") if "error" not in row]
    mean = sum(row["score"] for row in rows) / len(rows)
    share = sum(row["first_error"] is not None for row in rows) / len(rows)
    assert "9 rows, 1 with an error, 32 steps" in said
    assert f"mean score {mean:.4f}; {share:.1%} have a first error" in " ".join(said.split())
    weakest = sorted(rows, key=lambda row: row["score"])[:5]
    assert [f"{row['id']}: {row['steps'][row['weakest_step']]}"[:12] in said for row in weakest] == [True] * 5


def test_rerank_sums_up_its_rows(tmp_path: Path, fake: list[str]) -> None:
    said = " ".join(invoke("rerank", write(tmp_path / "in.jsonl", CANDIDATES), *fake).output.split())
    rows = read(tmp_path / "in.reranked.jsonl")
    assert "7 rows, 21 candidates, 42 steps; mean score 0." in said
    weakest = sorted(rows, key=lambda row: row["results"][0]["score"])[:5]
    assert all(f"{row['results'][0]['score']:.4f} │ {row['problem']}" in said for row in weakest)


def write_candidates(path: Path, best_is_right: bool) -> Path:
    """The candidates, of which the one with the highest score, or the lowest, is said to be right."""
    place = 0 if best_is_right else -1
    rows = [
        given | {"correct": [n == row["results"][place]["index"] for n in range(3)]}
        for given, row in zip(CANDIDATES, read(path), strict=True)
    ]
    return write(path.with_name(f"judged-{best_is_right}.jsonl"), rows)


def test_a_choice_worse_than_chance_is_called_so(tmp_path: Path, fake: list[str]) -> None:
    invoke("rerank", write(tmp_path / "in.jsonl", CANDIDATES), *fake)
    for best_is_right in (True, False):
        said = invoke("rerank", write_candidates(tmp_path / "in.reranked.jsonl", best_is_right), *fake).output
        assert ("Worse than chance" in said) is not best_is_right


@pytest.mark.parametrize("kind", [bool, int, float])
def test_scores_that_order_solutions_worse_than_chance_are_called_so(
    tmp_path: Path, fake: list[str], kind: type[int | float]
) -> None:
    """Whether they are right is written as true or false, or as 1 or 0 in whatever way."""
    invoke("score", write(tmp_path / "in.jsonl", solutions(8)), *fake)
    scores = [row["score"] for row in read(tmp_path / "in.scored.jsonl")]
    middle = sorted(scores)[4]
    for good in (True, False):
        rows = [
            row | {"is_correct": kind((score >= middle) is good)}
            for row, score in zip(solutions(8), scores, strict=True)
        ]
        said = " ".join(invoke("score", write(tmp_path / f"{good}.jsonl", rows), *fake).output.split())
        assert ("Worse than chance" in said) is not good
        assert good or "8 rows say which are right" in said


@pytest.mark.parametrize("command", ["score", "rerank"])
def test_a_finished_command_says_so_and_opens_no_model(
    tmp_path: Path, folder: Path, fake: list[str], command: str
) -> None:
    source = write(tmp_path / "in.jsonl", solutions(4) if command == "score" else CANDIDATES)
    first = invoke(command, source, *fake)
    again = invoke(command, source, *fake)
    assert f"all {4 if command == 'score' else 7} rows are done" in again.output
    assert "with tiny" not in again.output
    assert first.output.endswith(again.output.split("are done.\n")[1])


@pytest.mark.parametrize("change", ["flag", "weights", "edited", "more"])
def test_anything_else_than_the_same_is_looked_at(tmp_path: Path, folder: Path, fake: list[str], change: str) -> None:
    own = tmp_path / "model"
    shutil.copytree(folder, own)
    fake = ["--model", f"tiny={own}", "--engine", "fake"]
    source, out = write(tmp_path / "in.jsonl", solutions(4)), tmp_path / "in.scored.jsonl"
    invoke("score", source, *fake)
    if change == "weights":
        config = json.loads((own / "config.json").read_text())
        (own / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    if change == "edited":
        out.write_text(out.read_text().replace("n2", "n9"))
    if change == "more":
        write(source, solutions(5))
    flags = ["--threshold", "0.9"] if change == "flag" else []
    said = invoke("score", source, *fake, *flags)
    assert "rows are done." not in said.output
    assert said.exit_code == 2


def test_saying_so_loads_no_torch(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "in.jsonl", solutions(2))
    invoke("score", source, *fake)
    code = (
        "import sys\nfrom stepscore_service.commands.cli import app\n"
        f"try:\n    app(['score', {str(source)!r}, *{fake!r}])\n"
        "finally:\n    assert 'torch' not in sys.modules\n    assert 'transformers' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, "all 2 rows are done" in done.stderr) == (0, True), done.stderr


def test_errors_of_a_finished_run_still_end_it_with_1(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "in.jsonl", [*solutions(1), {"problem": "p", "steps": [" "]}])
    assert [invoke("score", source, *fake).exit_code for _ in range(2)] == [1, 1]
