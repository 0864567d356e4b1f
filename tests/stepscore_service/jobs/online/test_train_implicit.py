"""`train --objective implicit` writes a checkpoint that the family serves against the base it came from."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

import checkpoints_causal as checkpoints
from stepscore.config import EngineOptions
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading, Solution
from stepscore_service.commands.train import train

PROBLEM = "How much is 2 + 3?"
RIGHT, WRONG = ["2 + 3 = 5", "So it is 5."], ["2 + 3 = 6", "So it is 6."]


def test_right_answers_end_above_wrong_ones(tmp_path: Path) -> None:
    base, out, file = checkpoints.causal(tmp_path / "sft"), tmp_path / "implicitprm-tiny", tmp_path / "rows.jsonl"
    rows = [
        {"prompt": PROBLEM, "completions": steps, "labels": [True, True], "outcome": steps is RIGHT}
        for steps in (RIGHT, WRONG)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = [str(file), "--base", str(base), "--out", str(out), "--objective", "implicit"]
    learning = ["--output", "implicit", "--steps", "8", "--learning-rate", "1e-3", "--eval-share", "0"]
    app = typer.Typer()
    app.command()(train)
    ran = CliRunner().invoke(app, [*command, *learning])
    assert ran.exit_code == 0, ran.output
    scorer = open_scorer(str(out), options=EngineOptions(device="cpu", dtype="float32", reference_model=base))
    readings = scorer.score([Solution(PROBLEM, tuple(steps)) for steps in (RIGHT, WRONG)])
    right, wrong = (each.rewards[-1] for each in readings if isinstance(each, Reading))
    assert scorer.info.family == "implicit"
    assert right > wrong
