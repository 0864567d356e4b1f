"""A service with a temperature: rewards move exactly by the formula, raw logits stay, and everybody is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

import checkpoints_outcome
from cli_case import invoke, read, solutions, write
from service_case import PROBLEM, STEPS, connect, live
from stepscore.calibration import Calibration
from stepscore.errors import InvalidOption
from stepscore_service.commands.flags import settings_from
from stepscore_service.serving.model_pool import open_scorers
from stepscore_service.settings import Settings

BODY = {"problem": PROBLEM, "steps": STEPS, "include": ["logits"]}


def test_rewards_move_by_the_formula_and_logits_stay(folder: Path) -> None:
    plain = Settings(models=f"tiny={folder}", dtype="float32")
    scaled = plain.model_copy(update={"temperature": 2.5})
    answers, cards = [], []
    for settings in (plain, scaled):
        with live(open_scorers(settings)) as url, connect(url) as http:
            answers.append(http.post("/score", json=BODY).raise_for_status().json())
            cards.append(http.get("/v1/models").json()["data"][0])
    before, after = answers
    assert after["rewards"] == pytest.approx(Calibration(2.5).apply(before["rewards"]).tolist(), abs=1e-12)
    assert after["rewards"] != before["rewards"]
    assert after["logits"] == before["logits"]
    assert after["aggregates"]["min"] == min(after["rewards"])
    assert cards[0]["calibration"] is None
    assert cards[1]["calibration"] == {"temperature": 2.5, "bias": 0.0}


def test_the_offline_commands_scale_too(folder: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", solutions(2))
    model = ["--model", str(folder), "--engine", "fake"]
    for out, extra in (("a.jsonl", []), ("b.jsonl", ["--temperature", "3"])):
        assert invoke("score", source, "--out", tmp_path / out, *model, *extra).exit_code == 0
    before, after = read(tmp_path / "a.jsonl"), read(tmp_path / "b.jsonl")
    wanted = [Calibration(3.0).apply(row["rewards"]).tolist() for row in before]
    assert [row["rewards"] for row in after] == [pytest.approx(rewards) for rewards in wanted]


def test_a_calibration_of_other_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps({"temperature": 2.0, "revision": "other"}))
    with pytest.raises(InvalidOption, match="fitted on revision other"):
        open_scorers(Settings(models=str(folder), calibration=file))


def test_rewards_that_are_no_probabilities_are_refused(tmp_path: Path) -> None:
    unbounded = checkpoints_outcome.outcome(tmp_path / "tiny-orm")
    with pytest.raises(InvalidOption, match="probabilities"):
        open_scorers(Settings(models=str(unbounded), temperature=2.0))


def test_two_ways_at_once_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        settings_from({"temperature": 2.0, "calibration": tmp_path / "calibration.json"})
    assert "either --temperature or --calibration" in capsys.readouterr().err
