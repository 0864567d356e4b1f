"""Every command reads what every other writes: solutions, scores, labels and ranked candidates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import checkpoints_causal
from cli_case import PROBLEM, STEPS, invoke, read, write
from stepscore.errors import InvalidInput
from stepscore_service.jobs.label.task import task_of
from stepscore_service.jobs.train.inputs import TrainInputs, open_inputs

SOLUTIONS = [
    {"id": "steps", "problem": PROBLEM, "steps": STEPS, "answer": "9"},
    {"id": "text", "problem": "2+3?", "solution": "### Solution\n\n2+3 = 5.\n\nThe answer is 5.", "answer": "5"},
]
CANDIDATES = [
    {
        "id": n,
        "problem": f"{n}+1?",
        "candidates": [f"{n}+1 = {n + 1}.\n\nThe answer is {n + 1}.", ["Guess.", "It is 9."]],
    }
    for n in range(2)
]
LABELLED = [
    {"prompt": "2+3?", "completions": ["2+3 = 5.", "So 6."], "labels": [True, False], "outcome": False, "answer": "5"},
    {"prompt": "1+1?", "completions": ["1+1 = 2."], "labels": [0.75], "outcome": True, "answer": "2"},
]
BENCH = [{"id": "b", "problem": "2+3?", "steps": ["2+3 = 5.", "So 6."], "label": 1}]


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


@pytest.fixture
def written(tmp_path: Path, fake: list[str]) -> dict[str, Path]:
    """By name, a file of each kind that a command reads or writes."""
    files = {
        "solutions": write(tmp_path / "solutions.jsonl", SOLUTIONS),
        "candidates": write(tmp_path / "candidates.jsonl", CANDIDATES),
        "labelled": write(tmp_path / "labelled.jsonl", LABELLED),
        "bench": write(tmp_path / "bench.jsonl", BENCH),
    }
    for name in ("solutions", "labelled", "bench"):
        run("score", files[name], "--out", tmp_path / f"{name}.scored.jsonl", *fake)
        files[f"scored {name}"] = tmp_path / f"{name}.scored.jsonl"
    run("rerank", files["candidates"], "--out", tmp_path / "reranked.jsonl", *fake)
    policy = ["--policy", checkpoints_causal.causal(tmp_path / "policy", "qwen2"), "--solution-tokens", "6"]
    search = ["--method", "greedy", *policy, "--dtype", "float32", *fake]
    run("search", files["candidates"], "--out", tmp_path / "searched.jsonl", *search)
    run("annotate", "select", files["solutions"], "--out", tmp_path / "selected.jsonl", *fake)
    run("annotate", "export", tmp_path / "selected.jsonl", "--out", tmp_path / "prm800k.jsonl")
    labels = [{"prompt": "p", "completions": ["a", "b"], "labels": [True, False], "x": n} for n in range(2)]
    run("annotate", "export", write(tmp_path / "people.jsonl", labels), "--out", tmp_path / "people.prm800k.jsonl")
    run("annotate", "import", tmp_path / "people.prm800k.jsonl", "--neutral", "good", "--out", tmp_path / "trl.jsonl")
    return files | {
        "reranked": tmp_path / "reranked.jsonl",
        "searched": tmp_path / "searched.jsonl",
        "selected": tmp_path / "selected.jsonl",
        "exported": tmp_path / "prm800k.jsonl",
        "imported": tmp_path / "trl.jsonl",
    }


def run(*arguments: str | Path) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


SINGLE = [
    "solutions",
    "labelled",
    "bench",
    "scored solutions",
    "scored labelled",
    "scored bench",
    "selected",
    "imported",
    "searched",
]
SEVERAL = ["candidates", "reranked"]


def test_score_reads_all_that_holds_one_solution_a_row(
    tmp_path: Path, written: dict[str, Path], fake: list[str]
) -> None:
    for name in SINGLE:
        out = tmp_path / "again.jsonl"
        run("score", written[name], "--out", out, *fake)
        rows = read(out)
        assert all(len(row["rewards"]) == len(row.get("steps") or row["completions"]) for row in rows), name
        for file in (out, Path(f"{out}.run.json")):
            file.unlink()


def test_a_scored_file_scored_again_gives_itself(tmp_path: Path, written: dict[str, Path], fake: list[str]) -> None:
    for name in ("scored solutions", "scored labelled", "scored bench"):
        out = tmp_path / f"again {name}.jsonl"
        run("score", written[name], "--out", out, *fake)
        first, second = read(written[name]), read(out)
        dropped = {"spans"}
        assert [{k: v for k, v in row.items() if k not in dropped} for row in first] == second


def test_show_reads_everything(written: dict[str, Path], fake: list[str]) -> None:
    for name in [*SINGLE, *SEVERAL]:
        stored = {"rewards", "results"} & read(written[name])[0].keys()
        said = run("show", written[name], *([] if stored else fake))
        assert "score " in said, name
        assert "0." in said


def test_rerank_and_annotate_read_what_they_can(tmp_path: Path, written: dict[str, Path], fake: list[str]) -> None:
    for name in SEVERAL:
        out = tmp_path / f"{name} again.jsonl"
        run("rerank", written[name], "--out", out, *fake)
        assert read(out) == read(written["reranked"])
    for name in SINGLE:
        run("annotate", "select", written[name], "--out", tmp_path / f"{name} chosen.jsonl", *fake)
        run("annotate", "export", tmp_path / f"{name} chosen.jsonl", "--out", tmp_path / "exported.jsonl")


def test_search_reads_the_problems_of_everything(tmp_path: Path, written: dict[str, Path], fake: list[str]) -> None:
    policy = checkpoints_causal.causal(tmp_path / "again", "qwen2")
    for name in [*SINGLE, *SEVERAL]:
        out = tmp_path / f"{name} found.jsonl"
        flags = ["--method", "greedy", "--policy", policy, "--solution-tokens", "6", "--dtype", "float32"]
        run("search", written[name], "--out", out, *flags, *fake)
        rows = sorted(read(out), key=lambda row: row["line"])
        assert [row["problem"] for row in rows] == [
            row.get("problem", row.get("prompt")) for row in read(written[name])
        ]
        assert "score " in run("show", out, *fake)


def test_report_draws_everything_that_holds_rewards(tmp_path: Path, written: dict[str, Path], fake: list[str]) -> None:
    for name in [*SINGLE, *SEVERAL]:
        page, drawn = tmp_path / f"{name} report.html", name.startswith("scored") or name == "reranked"
        result = invoke("report", written[name], "--out", page)
        assert (result.exit_code == 0) is page.exists() is drawn, (name, result.output)
        assert drawn or "'rewards' is missing: give what `stepscore score`" in result.output
        scored = tmp_path / f"{name} scored.jsonl"
        run("rerank" if name in SEVERAL else "score", written[name], "--out", scored, *fake)
        run("report", scored, "--out", page)


READERS: list[tuple[str, list[str]]] = [
    ("--steps", ["labelled", "scored labelled", "imported"]),
    ("--processbench", ["bench", "scored bench"]),
]


@pytest.mark.parametrize(("option", "names"), READERS)
def test_evaluate_reads_scored_files_as_it_reads_their_inputs(
    tmp_path: Path, written: dict[str, Path], fake: list[str], option: str, names: list[str]
) -> None:
    numbers = []
    for name in names:
        out = tmp_path / f"report {name}"
        run("evaluate", option, f"x={written[name]}", "--out", out, "--no-probes", *fake)
        numbers.append(json.loads((out / "metrics.json").read_text())["suites"])
    assert numbers[1] == numbers[0]


TRAIN: list[tuple[str, list[str], int]] = [
    ("labelled", [], 3),
    ("imported", [], 4),
    ("scored solutions", [], 5),
    ("scored labelled", ["--format", "scored"], 3),
    ("scored labelled", ["--format", "trl"], 3),
    ("scored bench", ["--format", "processbench"], 2),
    ("reranked", [], 8),
]


@pytest.mark.parametrize(("name", "options", "steps"), TRAIN)
def test_train_reads_labels_and_rewards(written: dict[str, Path], name: str, options: list[str], steps: int) -> None:
    format_ = options[1] if options else "auto"
    found = list(TrainInputs(open_inputs([written[name]]), format_).solutions())
    assert sum(len(each.labels) for each in found) == steps
    if "labelled" not in name and name != "imported":
        assert all(label is None or 0 <= label <= 1 for each in found for label in each.labels)


def test_a_smaller_model_learns_the_rewards_of_another(tmp_path: Path, written: dict[str, Path]) -> None:
    base = checkpoints_causal.causal(tmp_path / "base", "qwen2")
    flags = ["--base", base, "--steps", "2", "--batch", "2", "--eval-share", "0", "--learning-rate", "1e-2"]
    for name in ("scored solutions", "reranked"):
        out = tmp_path / f"learnt from {name}"
        said = run("train", written[name], *flags, "--objective", "soft", "--out", out)
        assert "Serve it" in said
        assert (out / "model.safetensors").exists()
    hard = invoke("train", written["scored solutions"], *flags, "--out", tmp_path / "hard")
    assert (hard.exit_code, "--objective soft learns them" in hard.output) == (2, True)


def test_rewards_of_a_scored_file_are_the_labels(written: dict[str, Path]) -> None:
    rows = read(written["scored solutions"])
    found = list(TrainInputs(open_inputs([written["scored solutions"]])).solutions())
    assert [list(each.labels) for each in found] == [row["rewards"] for row in rows]
    assert [list(each.solution.steps) for each in found] == [row["steps"] for row in rows]


def test_labels_beside_rewards_must_be_chosen_between(written: dict[str, Path]) -> None:
    with pytest.raises(InvalidInput, match="--format trl or --format scored"):
        list(TrainInputs(open_inputs([written["scored labelled"]])).solutions())


def test_label_takes_solutions_of_every_kind(written: dict[str, Path]) -> None:
    counts = {name: [len(task_of(row, 1).attempts) for row in read(written[name])] for name in [*SINGLE, *SEVERAL]}
    assert counts == {name: [1] * len(read(written[name])) for name in SINGLE} | {name: [2, 2] for name in SEVERAL}


def test_slim_results_hold_no_texts(tmp_path: Path, written: dict[str, Path], fake: list[str]) -> None:
    texts = {"problem", "steps", "solution", "candidates", "split"}
    for command, name in (("score", "solutions"), ("rerank", "candidates")):
        out = tmp_path / f"slim {name}.jsonl"
        run(command, written[name], "--out", out, "--slim", *fake)
        assert all(not texts & row.keys() for row in read(out))
        assert [row["id"] for row in read(out)] == [row["id"] for row in read(written[name])]
        said = invoke("show", out)
        assert (said.exit_code, "'problem' is missing" in said.output) == (2, True)


def test_columns_that_have_the_name_of_a_result_are_kept(tmp_path: Path, fake: list[str]) -> None:
    row: dict[str, Any] = {"problem": "2?", "steps": ["2"], "model": "gpt", "first_error": -1, "error": "none"}
    out = tmp_path / "out.jsonl"
    run("score", write(tmp_path / "in.jsonl", [row]), "--out", out, *fake)
    (scored,) = read(out)
    assert (scored["model"], scored["input_model"], scored["input_first_error"]) == ("tiny", "gpt", -1)
    assert "error" not in scored
    again = tmp_path / "again.jsonl"
    run("score", out, "--out", again, *fake)
    assert read(again) == [scored]


def test_a_row_without_a_result_is_shown_as_its_error(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "in.jsonl", [SOLUTIONS[0], {"problem": "p", "steps": [" "]}])
    assert invoke("score", source, *fake).exit_code == 1
    said = invoke("show", tmp_path / "in.scored.jsonl", "--line", "2")
    assert (said.exit_code, "line 2 could not be scored" in said.output) == (2, True)
