"""With --log-format json nothing plain is printed: every line on standard error is a JSON object, of any command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import checkpoints_causal
from cli_case import invoke, run_alone, run_python, solutions, write
from stepscore_service.commands.cli import GROUPS, app

COMMANDS = [[each.callback.__name__.strip("_").replace("_", "-")] for each in app.registered_commands if each.callback]
COMMANDS += [
    [group, (each.name or each.callback.__name__).replace("_", "-")]
    for group, found in GROUPS.items()
    for each in found.registered_commands
    if each.callback
]


def events(stderr: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stderr.splitlines()]
    assert all(isinstance(each, dict) and each["event"] for each in found), stderr
    return found


def test_a_run_is_log_lines(tmp_path: Path, folder: Path) -> None:
    write(tmp_path / "a.jsonl", [*solutions(3), {"problem": "[red]? :smile: 🦆"}])
    found = run_alone(
        tmp_path, "score", "a.jsonl", "--model", str(folder), "--dtype", "float32", "--log-format", "json"
    )
    assert found.returncode == 1, found.stderr
    lines = events(found.stderr)
    assert any(len(each.get("rows", ())) == 3 for each in lines)
    assert lines[-1]["exit_status"] == 1
    assert found.stdout == ""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_takes_it(command: list[str]) -> None:
    assert "--log-format" in invoke(*command, "--help", env={"COLUMNS": "200"}).stdout


@pytest.mark.parametrize("command", [["score"], ["annotate", "select"], ["serve"]], ids=" ".join)
def test_an_error_of_usage_is_a_log_line(command: list[str], tmp_path: Path) -> None:
    found = run_alone(tmp_path, *command, "--no-such-flag", STEPSCORE_LOG_FORMAT="json")
    (event,) = events(found.stderr)
    assert (event["level"], event["exit_status"], found.returncode) == ("error", 2, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "nothing.jsonl"],
        ["train", "nothing.jsonl", "--base", "smollm2", "--out", "out"],
        ["verify-check", "nothing.jsonl", "--verifier", "math"],
        ["serve", "--port", "0", "--models", "nothing"],
        ["families", "--explain", ""],
    ],
)
def test_refusals_are_log_lines(arguments: list[str], tmp_path: Path) -> None:
    found = run_alone(tmp_path, *arguments, "--log-format=json")
    assert found.returncode in (1, 2), found.stderr
    assert events(found.stderr)[-1]["level"] == "error"


FAKE = ["--model", "tiny={model}", "--engine", "fake"]
SEARCH = ["--policy", "{base}", "--solution-tokens", "4", "--method", "greedy", "--dtype", "float32", *FAKE]
CASES: list[list[str]] = [
    ["score", "solutions.jsonl", *FAKE],
    ["score", "solutions.jsonl", "--out", "-", *FAKE],
    ["rerank", "candidates.jsonl", *FAKE],
    ["show", "--problem", "2+2?", "--step", "So 4.", *FAKE],
    ["show", "scored.jsonl"],
    ["report", "scored.jsonl"],
    ["evaluate", "--steps", "labelled.jsonl", "--out", "evaluated", *FAKE],
    ["label", "tasks.jsonl", "--out", "labels", "--method", "check:arithmetic"],
    ["train", "labelled.jsonl", "--base", "{base}", "--out", "trained", "--steps", "1", "--eval-share", "0"],
    ["annotate", "select", "solutions.jsonl", "--out", "selected.jsonl", *FAKE],
    ["annotate", "export", "labelled.jsonl", "--out", "exported.jsonl"],
    ["annotate", "import", "rated.jsonl", "--neutral", "good", "--out", "imported.jsonl"],
    ["search", "run", "tasks.jsonl", *SEARCH],
    ["search", "compare", "tasks.jsonl", "--out", "compared", *SEARCH],
    ["verify-check", "judged.jsonl", "--verifier", "math"],
    ["families"],
    ["families", "--explain", "{model}"],
    ["version"],
    ["key", "ann", "--file", "keys"],
    ["data", "list"],
    ["fetch", "--model", "{model}"],
]
REFUSED: list[list[str]] = [
    ["serve", "--port", "high"],
    ["push", "{model}", "--url", "http://127.0.0.1:9"],
    ["update", "nothing.jsonl", "--policy", "{base}", "--out", "updated"],
    ["data", "get", "nothing"],
]
SCORED = {
    **{
        "line": 1,
        "problem": "🦆 [red] :smile:",
        "steps": ["[/]🦆"],
        "rewards": [0.5],
        "score": 0.5,
        "aggregate": "min",
    },
    **{"weakest_step": 0, "first_error": None, "model": "m", "revision": "r", "dtype": "float32"},
}
RATED = {
    "question": {"problem": "p"},
    "label": {"steps": [{"completions": [{"text": "a", "rating": 1}], "chosen_completion": 0}]},
}


@pytest.fixture
def places(tmp_path: Path, folder: Path) -> dict[str, Path]:
    """The checkpoints that the cases name, and beside them their files."""
    write(tmp_path / "solutions.jsonl", solutions(2))
    write(tmp_path / "candidates.jsonl", [{"problem": "p", "candidates": ["a", "b"], "correct": [True, False]}])
    write(tmp_path / "scored.jsonl", [SCORED])
    write(tmp_path / "rated.jsonl", [RATED])
    write(tmp_path / "judged.jsonl", [{"solution": "#### 4", "answer": "4", "correct": True}])
    write(tmp_path / "tasks.jsonl", [{"problem": "3 + 4?", "answer": "7", "steps": ["3 + 4 = 7", "The answer is 7."]}])
    write(tmp_path / "labelled.jsonl", [{"prompt": "p", "completions": ["a", "b"], "labels": [True, False]}] * 4)
    return {"model": folder, "base": checkpoints_causal.causal(tmp_path / "base", "qwen2")}


@pytest.mark.parametrize("arguments", CASES, ids=lambda arguments: " ".join(arguments[:2]))
def test_nothing_plain_is_printed_by_a_command_that_works(
    tmp_path: Path, places: dict[str, Path], arguments: list[str]
) -> None:
    """Models are opened and trained in some: neither a bar nor a notice of transformers is printed."""
    found = run_alone(tmp_path, *(each.format(**places) for each in arguments), STEPSCORE_LOG_FORMAT="json")
    assert found.returncode == 0, found.stderr
    events(found.stderr)
    assert all(json.loads(line) for line in found.stdout.splitlines())
    assert found.stdout or found.stderr


@pytest.mark.parametrize("arguments", REFUSED, ids=lambda arguments: " ".join(arguments[:2]))
def test_nothing_plain_is_printed_by_a_command_that_fails(
    tmp_path: Path, places: dict[str, Path], arguments: list[str]
) -> None:
    found = run_alone(tmp_path, *(each.format(**places) for each in arguments), STEPSCORE_LOG_FORMAT="json")
    assert found.returncode in (2, 3), found.stderr
    assert events(found.stderr)[-1]["level"] == "error"
    assert found.stdout == ""


def test_every_command_has_a_case() -> None:
    cases = [*CASES, *REFUSED]
    assert all(any(case[: len(command)] == command for case in cases) for command in COMMANDS), COMMANDS


def test_what_is_printed_without_us_is_a_log_line(tmp_path: Path) -> None:
    """The notices of a first start, bars and warnings, and what a library prints."""
    code = (
        "import sys, warnings\nfrom tqdm import tqdm\n"
        "from stepscore.embedded.download import say\nfrom stepscore_service.jobs.runs import console\n"
        "console.speak_json()\nconsole.speak_json()\nsay('Downloading base (491 MB)')\n"
        "for _ in tqdm(range(3), 'Loading weights'): pass\nwarnings.warn('old')\nconsole.info('done')\n"
        "print('straight', file=sys.stderr)\n"
    )
    found = run_python(tmp_path, "-c", code)
    assert found.returncode == 0, found.stderr
    said = [each["event"] for each in events(found.stderr)]
    assert said[0] == "Downloading base (491 MB)"
    assert said[1].startswith("Loading weights: 100%")
    assert "old" in said[2]
    assert said[3:] == ["done", "straight"]


FP32 = ["--dtype", "float32"]
BAR = re.compile(r"\r|\d+%\||it/s\]|s/it\]|Loading weights|Converting and de-quantizing|Generate:|Some weights of")


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "solutions.jsonl", "--model", "{model}", "--mode", "reference", *FP32],
        ["train", "labelled.jsonl", "--base", "{base}", "--out", "trained", "--steps", "1", "--eval-share", "0"],
        ["label", "tasks.jsonl", "--out", "labels", "--model", "{base}", "-k", "1", "--rollout-tokens", "2", *FP32],
        ["search", "run", "tasks.jsonl", "--policy", "{base}", "--model", "{model}", "--solution-tokens", "2", *FP32],
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_bar_or_notice_of_a_library_is_between_the_lines_of_a_command(
    tmp_path: Path, folder: Path, arguments: list[str]
) -> None:
    """Each of these opens weights with transformers."""
    base = checkpoints_causal.causal(tmp_path / "base", "qwen2")
    write(tmp_path / "solutions.jsonl", solutions(2))
    write(tmp_path / "tasks.jsonl", [{"problem": "3 + 4?", "answer": "7", "steps": ["3 + 4 = 7", "The answer is 7."]}])
    write(tmp_path / "labelled.jsonl", [{"prompt": "p", "completions": ["a", "b"], "labels": [True, False]}] * 4)
    found = run_alone(tmp_path, *(each.format(model=folder, base=base) for each in arguments))
    assert found.returncode in (0, 1), found.stderr  # 1: the tiny policy solves nothing
    assert "Traceback" not in found.stderr
    assert not BAR.search(found.stderr + found.stdout), found.stderr


def test_a_terminal_without_unicode_ends_no_command(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [SCORED])
    found = run_alone(tmp_path, "show", "a.jsonl", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert found.returncode == 0, found.stderr
    assert "[red] :smile:" in found.stdout
    assert "[/]" in found.stdout
