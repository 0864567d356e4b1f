"""Rounds of online learning: what is served after each push is what the round's folder gives offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import checkpoints_causal as checkpoints
from service_case import live
from stepscore.config import EngineOptions
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring
from stepscore.types import Reading, Solution
from stepscore_service.client import StepscoreClient
from stepscore_service.commands.cli import app
from stepscore_service.jobs.data.labelled import of_row
from stepscore_service.jobs.online.rounds import Rounds
from stepscore_service.jobs.online.settings import UpdateSettings
from stepscore_service.jobs.online.update import Diverged, update

PROBLEM = "How much is 2 + 3?"
CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
SOLUTION = Solution(PROBLEM, ("2 + 3 = 5", "So it is 5."))


def rows(*last: int) -> list[dict[str, Any]]:
    return [
        {"prompt": PROBLEM, "completions": ["2 + 3 = 5", f"So it is {each}."], "outcome": each == 5} for each in last
    ]


def write(path: Path, *last: int) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(*last)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.causal(tmp_path_factory.mktemp("online") / "sft")


def scorer(folder: Path, reference: Path, name: str = "prm") -> Scoring:
    return open_scorer(
        str(folder), name=name, family="implicit", options=EngineOptions(**CPU, reference_model=reference)
    )


def rewards(folder: Path, reference: Path) -> tuple[float, ...]:
    (reading,) = scorer(folder, reference).score([SOLUTION])
    assert isinstance(reading, Reading)
    return reading.rewards


def test_two_rounds_each_pushed_and_served(reference: Path, tmp_path: Path) -> None:
    out, served = tmp_path / "rounds", []
    settings = {**CPU, "allow_reload": True, "reference_model": reference}
    with live({"prm": scorer(reference, reference)}, **settings) as url, StepscoreClient(url) as client:
        for number, last in enumerate(((5, 6), (7, 5)), start=1):
            file = write(tmp_path / "rollouts.jsonl", *last)
            command = ["update", str(file), "--model", str(reference), "--out", str(out), "--push", url]
            ran = CliRunner().invoke(app, [*command, "--rate", "1e-3", "--samples", "2"])
            assert ran.exit_code == 0, ran.stderr
            lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]  # the rest is logs
            assert [set(line) for line in lines] == [
                {"prompt", "rewards", "token_ids", "token_spans", "token_rewards", "returns", "advantages"}
            ] * 2
            answer = client.score(PROBLEM, list(SOLUTION.steps))
            assert answer.rewards == pytest.approx(rewards(out / f"round-{number:06d}", reference), abs=1e-6)
            served.append(answer.revision)
    assert len(set(served)) == 2


def test_rewards_are_those_from_before_the_update(reference: Path, tmp_path: Path) -> None:
    settings, rounds = UpdateSettings(str(reference), str(reference), rate=1e-3), Rounds(tmp_path)
    for number in (1, 2):
        before = reference if number == 1 else rounds.folder / "round-000001"
        expected = rewards(before, reference)
        made = update(settings, list(map(of_rollout, rows(5, 6))), f"digest {number}", rounds, lambda said: None)
        first = json.loads((made.folder / "rewards.jsonl").read_text().splitlines()[0])
        assert first["rewards"] == pytest.approx(expected, abs=1e-6)
    assert made.number == 2


def test_a_round_stops_halfway_and_is_made_again_the_same(reference: Path, tmp_path: Path) -> None:
    settings = UpdateSettings(str(reference), str(reference), rate=1e-3)
    rollouts = list(map(of_rollout, rows(5, 6)))
    whole, broken = Rounds(tmp_path / "whole"), Rounds(tmp_path / "broken")
    for rounds in (whole, broken):
        update(settings, rollouts, "one", rounds, lambda said: None)
    with pytest.raises(KeyboardInterrupt):
        stop_midway(broken)
    assert [path.name for path in sorted(broken.folder.iterdir())] == ["round-000001", "round-000002.part"]
    assert update(settings, rollouts, "one", broken, lambda said: None).number == 1, "applied once only"
    pair = [update(settings, rollouts, "two", rounds, lambda said: None).folder for rounds in (whole, broken)]
    first, second = ((folder / "model.safetensors").read_bytes() for folder in pair)
    assert first == second
    states = [torch.load(folder / "optimiser.pt", weights_only=True)["state"] for folder in pair]
    assert states[0][0]["step"] == states[1][0]["step"] == 2, "the optimiser goes on, too"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"prompt": "p"', "line 1"),
        ('{"prompt": "p", "completions": ["s"]}', "outcome"),
        ('"text"', "not an object"),
        ('{"prompt": "p", "completions": 3}', "completions"),
    ],
)
def test_rollouts_that_teach_nothing(reference: Path, tmp_path: Path, line: str, reason: str) -> None:
    ran = CliRunner().invoke(app, ["update", "-", "--model", str(reference), "--out", str(tmp_path)], input=line)
    assert ran.exit_code == 2
    assert reason in ran.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [1e25, 1e30])
def test_an_update_that_spoils_the_weights_makes_no_round(reference: Path, tmp_path: Path, rate: float) -> None:
    """trl#6702, at its worst here: the loss is from before the only step, and the round is pushed to a server."""
    settings, rounds = UpdateSettings(str(reference), str(reference), rate=rate), Rounds(tmp_path)
    with pytest.raises(Diverged, match="--rate"):
        update(settings, list(map(of_rollout, rows(5, 6))), "one", rounds, lambda said: None)
    assert not list(tmp_path.iterdir())


def stop_midway(rounds: Rounds) -> None:
    with rounds.next() as part:
        (part / "config.json").write_text("{}")
        raise KeyboardInterrupt


def of_rollout(row: dict[str, Any]) -> Any:
    return of_row({**row, "labels": [None, None]})
