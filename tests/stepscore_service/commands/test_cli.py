"""Flags made from the settings, and the commands that only show something."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined
from typer.main import get_command

from cli_case import PROBLEM, STEPS, invoke, write
from stepscore.family.registry import families
from stepscore_service.commands.cli import app
from stepscore_service.commands.flags import settings_from
from stepscore_service.settings import MODEL_SETTINGS, Settings


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


def test_every_setting_is_a_flag_of_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    said = invoke("serve", "--help").output
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in said
        assert f"STEPSCORE_{name.upper()}" in said
        assert field.description
        assert field.default is not PydanticUndefined


def test_the_offline_commands_take_the_settings_of_the_model() -> None:
    assert {"models", "family", "device", "dtype", "mode", "threads"} <= MODEL_SETTINGS & set(Settings.model_fields)
    assert not {"host", "port", "max_queue_tokens"} & MODEL_SETTINGS


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSCORE_THREADS", "3")
    assert settings_from({"threads": None, "models": []}).threads == 3
    assert settings_from({"threads": "2"}).threads == 2
    assert settings_from({"models": ["a=b", "c"]}).models == ("a=b", "c")


def test_a_value_that_is_refused_names_its_flag_and_variable() -> None:
    result = invoke("serve", "--port", "70000", "--mode", "slow")
    assert result.exit_code == 2
    assert "--port (STEPSCORE_PORT) is '70000'" in result.output
    assert "--mode (STEPSCORE_MODE) is 'slow'" in result.output
    assert "'invariant'" in result.output


def test_unknown_flags_and_variables_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("serve", "--prot", "1").exit_code == 2
    monkeypatch.setenv("STEPSCORE_PROT", "1")
    result = invoke("serve")
    assert (result.exit_code, "STEPSCORE_PROT" in result.output) == (2, True)


def test_the_old_name_of_the_reference_model_is_refused_with_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    flag = invoke("serve", "--reference", "sft")
    assert (flag.exit_code, "--reference-model" in flag.output) == (2, True)
    monkeypatch.setenv("STEPSCORE_REFERENCE", "sft")
    variable = invoke("serve")
    assert variable.exit_code == 2
    assert "STEPSCORE_REFERENCE is now STEPSCORE_REFERENCE_MODEL" in variable.output


def test_show_marks_the_weakest_step_and_the_first_error(fake: list[str]) -> None:
    steps = [part for step in STEPS for part in ("--step", step)]
    result = invoke("show", "--problem", PROBLEM, *steps, "--threshold", "1", *fake)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert sum("weakest" in line for line in lines) == 1
    assert [
        number
        for number, line in enumerate(line for line in lines if "░" in line or "█" in line)
        if "first error" in line
    ] == [0]
    assert "\x1b[" not in result.output
    assert "score " in result.output


def test_show_reads_text_json_jsonl_and_standard_input(tmp_path: Path, fake: list[str]) -> None:
    row = {"problem": PROBLEM, "steps": STEPS}
    text = tmp_path / "solution.txt"
    text.write_text("\n".join(STEPS))
    whole = tmp_path / "one.json"
    whole.write_text(json.dumps(row, indent=1))
    shown = [
        invoke("show", text, "--problem", PROBLEM, *fake),
        invoke("show", whole, *fake),
        invoke("show", write(tmp_path / "a.jsonl", [{"problem": "x", "steps": ["y"]}, row]), "--line", "2", *fake),
        invoke("show", "-", *fake, input=json.dumps(row)),
    ]
    assert all(result.exit_code == 0 for result in shown)
    assert len({result.output for result in shown}) == 1


def test_rows_of_standard_input_end_at_line_feeds_alone(fake: list[str]) -> None:
    r"""A text may hold other line ends, such as U+2028 (wbolster/jsonlines issue 53)."""
    rows = [{"problem": f"{n}\u2028?", "steps": ["a\u0085b\x0cc"]} for n in range(2)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    result = invoke("show", "-", "--line", "2", *fake, input=lines)
    assert (result.exit_code, "1\u2028?" in result.output) == (0, True), result.output
    assert "there are 2 lines" in invoke("show", "-", "--line", "3", *fake, input=lines).output


def test_show_without_a_solution_says_how_to_give_one(tmp_path: Path, fake: list[str]) -> None:
    for arguments in (["--problem", "p"], ["--step", "s"], [tmp_path / "none"], []):
        assert invoke("show", *arguments, *fake).exit_code == 2
    assert "stepscore show --problem" in invoke("show", "--problem", "p").output


@pytest.mark.parametrize("command", [["serve", "--help"], ["families"]])
def test_nothing_is_cut_at_80_columns(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = invoke(*command).output
    assert "…" not in said
    names = [f"STEPSCORE_{name.upper()}" for name in Settings.model_fields]
    wanted = names if "serve" in command else [model for family in families() for model in family.checkpoints]
    assert [name for name in wanted if name not in said] == []


def every_command(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of every command and group below this one, and its own."""
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from every_command(each, *path, name)


@pytest.mark.parametrize("words", list(every_command(get_command(app))), ids=" ".join)
def test_the_help_of_every_command_names_its_options_whole_at_80_columns(words: tuple[str, ...]) -> None:
    command: Any = get_command(app)
    for word in words:
        command = command.commands[word]
    flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts) if flag.startswith("--")}
    said = invoke(*words, "--help", env={"COLUMNS": "80"}).output
    assert flags | {"--help"} <= set(re.findall(r"--[a-z0-9-]+", said))
    assert max(map(len, said.splitlines())) <= 80


def test_families_lists_every_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    said = invoke("families").output
    assert all(family.name in said for family in families())


def test_families_explains_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    said = invoke("families", "--explain", folder)
    assert said.exit_code == 0
    assert "architectures Qwen2ForProcessRewardModel: " in said.output
    assert "\nqwen_math: " in said.output
    assert invoke("families", "--explain", tmp_path).exit_code == 2


def test_version_names_what_decides_the_numbers() -> None:
    said = invoke("version").output
    assert said.startswith("stepscore 0.")
    assert "torch " in said


def test_the_table_needs_no_terminal_colours(fake: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    result = invoke("show", "--problem", PROBLEM, "--step", STEPS[0], *fake)
    assert "38;2" not in result.output
