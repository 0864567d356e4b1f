"""What no command does: overwrite its input, ignore a flag, take nan, work on nothing, call failed rows done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import checkpoints
import checkpoints_value_heads
from cli_case import PROBLEM, STEPS, invoke, read, solutions, write

SCORED: dict[str, Any] = {
    **{"line": 1, "problem": PROBLEM, "steps": STEPS, "rewards": [0.9, 0.2, 0.8], "score": 0.2, "aggregate": "min"},
    **{"weakest_step": 1, "first_error": 1, "model": "m", "revision": "r", "dtype": "float32"},
}
LABELLED = {"prompt": PROBLEM, "completions": STEPS, "labels": [True, False, None]}
JUDGED = {"solution": "#### 4", "answer": "4", "correct": True}


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


@pytest.mark.parametrize(
    ("command", "row", "out"),
    [
        (["score"], solutions(1)[0], "in.jsonl"),
        (["rerank"], {"problem": "p", "candidates": ["a", "b"]}, "in.jsonl"),
        (["report"], SCORED, "in.jsonl"),
        (["report"], SCORED, "link.jsonl"),
        (["verify-check", "--verifier", "math"], JUDGED, "in.jsonl"),
        (["annotate", "select"], LABELLED, "in.jsonl"),
        (["annotate", "export"], LABELLED, "sub/../in.jsonl"),
        (["annotate", "import", "--neutral", "good"], LABELLED, "in.jsonl"),
        (["search", "run", "--policy", "openai:http://127.0.0.1:9"], {"problem": "p"}, "in.jsonl"),
        (["label", "--model", "m", "--samples", "1"], {"problem": "p", "answer": "1"}, "."),
        (["evaluate", "--steps"], LABELLED, "."),
    ],
)  # fmt: skip
def test_no_command_overwrites_its_input(
    tmp_path: Path, command: list[str], row: dict[str, Any], out: str, fake: list[str]
) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "sub").mkdir()
    name = "rows/steps-in.jsonl" if command[0] == "evaluate" else "in.jsonl"
    source = write(tmp_path / name, [row])
    (tmp_path / "link.jsonl").symlink_to(source)
    before = source.read_text()
    given = [f"in={source}"] if command[0] == "evaluate" else [source]
    models = fake if command[0] in ("score", "rerank", "evaluate") or command[1:2] == ["select"] else []
    result = invoke(*command, *given, "--out", tmp_path / out, *models)
    assert (result.exit_code, "would be overwritten" in result.output) == (2, True), result.output
    assert source.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (["{scored}", "--threshold", "0.1"], "--threshold"),
        (["{scored}", "--aggregate", "mean", "--split", "lines"], "--split, --aggregate"),
        (["{scored}", "--model", "embedded"], "--model"),
        (["{scored}", "--problem", "another"], "--problem"),
        (["{plain}", "--problem", "p", "--line", "2"], "--line"),
        (["{scored}", "--step", "a"], "--step"),
        (["--problem", "p", "--step", "a", "--line", "2"], "--line"),
        (["--problem", "p", "--step", "a", "--rescore"], "--rescore"),
    ],
)
def test_show_refuses_flags_that_would_change_nothing(tmp_path: Path, arguments: list[str], flags: str) -> None:
    files = {"scored": write(tmp_path / "s.jsonl", [SCORED]), "plain": write(tmp_path / "s.txt", ["So 4."])}
    result = invoke("show", *(each.format(**files) for each in arguments))
    assert result.exit_code == 2
    assert f"error: {flags} would change nothing" in result.output


def test_flags_that_choose_the_row_are_taken_and_variables_are_not_flags(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", [SCORED, SCORED | {"line": 2}])
    result = invoke("show", source, "--line", "2", env={"STEPSCORE_MODELS": "nothing"})
    assert result.exit_code == 0, result.output


def test_rewards_that_do_not_fit_are_refused_until_they_are_scored_again(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "s.jsonl", [SCORED | {"rewards": [0.5]}])
    result = invoke("show", source)
    assert (result.exit_code, "1 rewards for 3 steps; --rescore scores the row again" in result.output) == (2, True)
    again = invoke("show", source, "--rescore", "--threshold", "0.1", *fake)
    assert (again.exit_code, "score 0." in again.output) == (0, True), again.output


def test_rewards_without_what_made_them_are_not_scored_unasked(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", [{"problem": "p", "steps": ["a"], "rewards": [0.5]}])
    result = invoke("show", source)
    assert (result.exit_code, "'score' is missing" in result.output) == (2, True), result.output


def test_a_reference_model_that_is_not_read_is_refused(tmp_path: Path, folder: Path, fake: list[str]) -> None:
    source = write(tmp_path / "in.jsonl", solutions(1))
    result = invoke("score", source, *fake, "--reference-model", folder)
    assert (result.exit_code, "reads no second model" in result.output) == (2, True), result.output


def test_a_second_run_over_rows_with_errors_has_the_status_of_the_first(tmp_path: Path, fake: list[str]) -> None:
    judged = write(tmp_path / "judged.jsonl", [JUDGED, {"solution": "#### 4", "correct": True}])
    scored = write(tmp_path / "in.jsonl", [*solutions(1), {"problem": "p", "steps": []}])
    for _ in range(2):
        assert invoke("verify-check", judged, "--verifier", "math").exit_code == 1
        assert invoke("score", scored, *fake).exit_code == 1
        assert invoke("annotate", "select", scored, "--out", tmp_path / "asked.jsonl", *fake).exit_code == 1


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("command", ["score", "show", "annotate select", "evaluate"])
def test_a_number_that_is_none_is_refused(tmp_path: Path, number: str, command: str, fake: list[str]) -> None:
    source = write(tmp_path / "in.jsonl", [LABELLED])
    given = ["--processbench", source] if command == "evaluate" else [source]
    out = [] if command == "show" else ["--out", tmp_path / "out"]
    result = invoke(*command.split(), *given, *out, f"--threshold={number}", *fake)
    says = f"--threshold {number} is neither" if command == "evaluate" else f"--threshold is {number}, which is not"
    assert (result.exit_code, says in result.output) == (2, True), result.output


PROBABLE, DIFFERENCE = "must be between 0 and 1", "must be between -1 and 1"


@pytest.mark.parametrize("threshold", ["2", "-0.1"])
@pytest.mark.parametrize(
    "command",
    [
        ["score", "{in}", "--out", "{out}"],
        ["show", "{in}"],
        ["annotate", "select", "{in}", "--measure", "margin", "--out", "{out}"],
        ["evaluate", "--processbench", "{in}", "--out", "{out}"],
    ],
    ids=lambda command: command[0],
)
def test_a_threshold_outside_the_range_of_the_rewards_is_refused(
    tmp_path: Path, command: list[str], threshold: str, fake: list[str]
) -> None:
    row = {"problem": PROBLEM, "steps": STEPS, "label": 1}
    source = write(tmp_path / "in.jsonl", [row])
    for given, status in ((threshold, 2), ("0", 0), ("0.3", 0), ("1", 0)):
        places = {"in": source, "out": tmp_path / f"out{given}"}
        result = invoke(*(each.format(**places) for each in command), f"--threshold={given}", *fake)
        assert (result.exit_code, PROBABLE in result.output) == (status, status == 2), result.output


def test_rewards_without_bounds_have_thresholds_of_any_size(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", solutions(1))
    unbounded, difference = (
        ["--model", str(make(tmp_path / name)), "--engine", "fake"]
        for name, make in (
            ("pqm-tiny", checkpoints_value_heads.pqm),
            ("PURE-PRM-tiny", checkpoints.token_classification),
        )
    )
    for threshold in ("-7.5", "12"):
        result = invoke("show", source, f"--threshold={threshold}", *unbounded)
        assert result.exit_code == 0, result.output
    assert DIFFERENCE in invoke("show", source, "--threshold=2", *difference).output
    assert invoke("show", source, "--threshold=-1", *difference).exit_code == 0


def test_a_consensus_takes_the_thresholds_of_its_model(tmp_path: Path, folder: Path) -> None:
    row = {"problem": "3 + 4?", "answer": "7", "steps": ["3 + 4 = 7"]}
    source = write(tmp_path / "in.jsonl", [row])
    command = ["label", source, "--out", tmp_path / "out", "--method", "check:arithmetic", "--threshold", "2"]
    result = invoke(*command, "--consensus", folder)
    assert (result.exit_code, PROBABLE in result.output) == (2, True), result.output
    result = invoke(*command)
    assert (result.exit_code, "for the model of --consensus" in result.output) == (2, True), result.output


def test_a_flag_of_a_suite_that_is_not_run_is_refused(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "in.jsonl", [LABELLED])
    for flag in (["--threshold", "0.3"], ["--orm", "m"], ["--split", "lines"]):
        result = invoke("evaluate", "--steps", source, "--out", tmp_path / "out", *flag, *fake)
        assert (result.exit_code, f"{flag[0]} would change nothing" in result.output) == (2, True), result.output
    result = invoke("annotate", "select", source, "--out", tmp_path / "out", "--threshold", "0.3", *fake)
    assert (result.exit_code, "--measure margin" in result.output) == (2, True), result.output


def test_a_way_to_split_that_does_not_exist_ends_every_command(tmp_path: Path, fake: list[str]) -> None:
    """Also if the file's first row is already in steps, and so would not be split."""
    source = write(tmp_path / "in.jsonl", solutions(1))
    for command in (["score"], ["rerank"], ["show"], ["annotate", "select", "--out", tmp_path / "o.jsonl"]):
        result = invoke(*command, source, "--split", "banana", *fake)
        assert (result.exit_code, "called 'banana'" in result.output) == (2, True), result.output
    assert invoke("score", source, "--split", "regex:(", *fake).exit_code == 2
    assert invoke("score", source, "--split", "regex:;", *fake).exit_code == 0


def test_a_file_without_rows_is_an_error_of_every_command(tmp_path: Path, fake: list[str]) -> None:
    source, out = write(tmp_path / "in.jsonl", []), tmp_path / "out.jsonl"
    commands = [
        ["score", source, "--out", out, *fake],
        ["rerank", source, "--out", out, *fake],
        ["report", source, "--out", out],
        ["show", source],
        ["verify-check", source, "--verifier", "math", "--out", out],
        ["annotate", "select", source, "--out", out, *fake],
        ["annotate", "export", source, "--out", out],
        ["search", "run", source, "--out", out, *fake],
        ["evaluate", "--steps", source, "--out", tmp_path / "report", *fake],
        ["label", source, "--model", "m", "--out", tmp_path / "labels"],
        ["train", source, "--base", "m", "--out", tmp_path / "trained"],
    ]
    for command in commands:
        result = invoke(*command)
        assert (result.exit_code, "holds no rows" in result.output) == (2, True), (command, result.output)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.jsonl"]
    result = invoke("score", "-", *fake, input="\n")
    assert (result.exit_code, "standard input holds no rows" in result.output) == (2, True)


def test_markup_and_emoji_codes_are_text(tmp_path: Path, fake: list[str]) -> None:
    text = "[red]so[/red] :smile: [/] 🦆"
    source = write(tmp_path / "in.jsonl", [{"problem": text, "steps": [text]}])
    result = invoke("score", source, *fake, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert text in result.stderr
    shown = invoke("show", tmp_path / "in.scored.jsonl", env={"COLUMNS": "160"})
    assert shown.output.count(text) == 2
    assert f"cannot read {text}" in invoke("score", text).stderr
    assert read(tmp_path / "in.scored.jsonl")[0]["problem"] == text


def test_no_name_is_no_model() -> None:
    result = invoke("families", "--explain", "")
    assert (result.exit_code, "needs a folder or a Hub id" in result.output) == (2, True)
