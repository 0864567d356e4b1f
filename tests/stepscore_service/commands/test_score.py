"""`stepscore score`: what it writes, that it resumes to the same bytes, and what it says about wrong input."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from cli_case import PROBLEM, STEPS, invoke, read, solutions, start, write
from loading_case import CPU
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading, Solution


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


def test_rows_get_rewards_spans_and_keep_their_other_columns(tmp_path: Path, folder: Path) -> None:
    text = "\n".join(STEPS)
    rows = [
        {"id": 7, "problem": PROBLEM, "steps": STEPS, "note": {"a": 1}},
        {"problem": PROBLEM, "solution": text, "split": "lines"},
    ]
    source = write(tmp_path / "in.jsonl", rows)
    result = invoke("score", source, "--model", f"tiny={folder}", "--dtype", "float32", "--mode", "reference")
    assert result.exit_code == 0, result.output
    first, second = read(tmp_path / "in.scored.jsonl")
    assert (first["id"], first["note"], first["line"], first["model"]) == (7, {"a": 1}, 1, "tiny")
    assert (first["problem"], first["steps"]) == (PROBLEM, STEPS)
    assert "spans" not in first
    assert (second["solution"], second["steps"]) == (text, STEPS)
    assert [text[start:end] for start, end in second["spans"]] == STEPS
    scorer = open_scorer(str(folder), options=CPU)
    reading = scorer.score([Solution(PROBLEM, tuple(STEPS))])[0]
    assert isinstance(reading, Reading)
    assert first["rewards"] == pytest.approx(reading.rewards, abs=1e-5)
    assert second["rewards"] == first["rewards"]
    assert first["dtype"] == scorer.info.dtype
    assert first["score"] == first["aggregates"][first["aggregate"]]
    assert first["rewards"][first["weakest_step"]] == min(first["rewards"])


def test_a_row_that_cannot_be_scored_is_a_row_with_an_error(tmp_path: Path, fake: list[str]) -> None:
    rows = [
        *solutions(1),
        "{not json",
        {"id": "x", "problem": PROBLEM},
        {"problem": PROBLEM, "steps": ["a", " "]},
        {"problem": PROBLEM, "solution": "a", "split": "words"},
        {"id": "long", "problem": PROBLEM, "steps": ["many words " * 2000]},
        "",
        "[1]",
        *solutions(1),
    ]
    result = invoke("score", write(tmp_path / "in.jsonl", rows), *fake)
    assert result.exit_code == 1
    assert "6 of the rows" in result.output
    done = read(tmp_path / "in.scored.jsonl")
    codes = [row.get("error", {}).get("code") for row in done]
    assert codes == [
        None,
        "invalid_input",
        "invalid_input",
        "empty_step",
        "unknown_split",
        "too_long",
        "invalid_input",
        None,
    ]
    assert [row["line"] for row in done] == [1, 2, 3, 4, 5, 6, 8, 9]
    assert (done[2]["id"], done[5]["id"]) == ("x", "long")
    assert done[5]["error"]["detail"]["excess"] > 0


def test_a_second_run_skips_what_is_done_and_repairs_a_torn_line(tmp_path: Path, fake: list[str]) -> None:
    source, out = write(tmp_path / "in.jsonl", solutions(9)), tmp_path / "out.jsonl"
    assert invoke("score", source, "--out", out, *fake).exit_code == 0
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:4]) + lines[4][:20])
    result = invoke("score", source, "--out", out, *fake)
    assert result.exit_code == 0
    assert "torn last line" in result.output
    assert "4 rows are done" in result.output
    assert out.read_bytes() == whole


@pytest.mark.parametrize("change", [["--aggregate", "min"], ["--threshold", "0.9"], ["--split", "lines"]])
def test_results_of_other_settings_are_not_mixed(tmp_path: Path, fake: list[str], change: list[str]) -> None:
    source, out = write(tmp_path / "in.jsonl", solutions(2)), tmp_path / "out.jsonl"
    assert invoke("score", source, "--out", out, *fake).exit_code == 0
    before = out.read_bytes()
    result = invoke("score", source, "--out", out, *fake, *change)
    assert result.exit_code == 2
    assert change[0].lstrip("-") in result.output
    assert "another --out" in result.output
    assert out.read_bytes() == before


def test_results_of_another_model_or_input_are_not_mixed(tmp_path: Path, fake: list[str]) -> None:
    source, out = write(tmp_path / "in.jsonl", solutions(2)), tmp_path / "out.jsonl"
    assert invoke("score", source, "--out", out, *fake).exit_code == 0
    renamed = ["--model", fake[1].replace("tiny=", "other="), *fake[2:]]
    assert "model was 'tiny' and is 'other'" in invoke("score", source, "--out", out, *renamed).output
    write(source, solutions(3))
    assert "input_rows was 2 and is 3" in invoke("score", source, "--out", out, *fake).output


def test_standard_input_and_output(fake: list[str]) -> None:
    rows = "".join(json.dumps(row) + "\n" for row in solutions(3))
    result = invoke("score", "-", *fake, input=rows)
    assert result.exit_code == 0
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["n0", "n1", "n2"]


def test_wrong_input_says_what_to_do(tmp_path: Path, fake: list[str]) -> None:
    missing = invoke("score", tmp_path / "no.jsonl", *fake)
    assert (missing.exit_code, "No such file" in missing.output) == (2, True)
    wrong = invoke("score", write(tmp_path / "a.jsonl", [{"question": "x", "steps": ["a"]}]), *fake)
    assert wrong.exit_code == 2
    assert "line 1: 'problem' is missing (columns: question, steps)" in wrong.output
    assert '{"problem": "…", "steps"' in wrong.output
    csv = invoke("score", write(tmp_path / "a.txt", ["problem,steps"]), *fake)
    assert (csv.exit_code, "line 1 is not JSON" in csv.output) == (2, True)
    unknown = invoke("score", write(tmp_path / "b.jsonl", solutions(1)), *fake, "--aggregate", "median")
    assert (unknown.exit_code, "geometric_mean" in unknown.output) == (2, True)
    nowhere = invoke("score", tmp_path / "b.jsonl", "--model", str(tmp_path / "nothing"))
    assert nowhere.exit_code == 2


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> tuple[Path, bytes]:
    """A file that takes a second or two, and the results of an undisturbed run."""
    source = write(tmp_path_factory.mktemp("many") / "in.jsonl", solutions(3000))
    assert invoke("score", source, "--model", f"tiny={folder}", "--engine", "fake").exit_code == 0
    return source, source.with_name("in.scored.jsonl").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_continues_to_the_same_result(
    tmp_path: Path, fake: list[str], many: tuple[Path, bytes], number: signal.Signals
) -> None:
    source, undisturbed = many
    out = tmp_path / "out.jsonl"
    process = start("score", source, "--out", out, *fake, "--batch-rows", "1")
    until = time.monotonic() + 200
    while not (out.exists() and out.stat().st_size > 2_000) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert 0 < out.read_bytes().count(b"\n") < 3000
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert b"the same command continues" in said
    assert invoke("score", source, "--out", out, *fake).exit_code == 0
    assert out.read_bytes() == undisturbed
