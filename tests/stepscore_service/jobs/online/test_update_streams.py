"""A round of any size: rollouts pass by, and a kill in the middle of them costs nothing but time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import checkpoints_causal as checkpoints
from cli_case import invoke
from stepscore.errors import InvalidInput
from stepscore_service.jobs.data.labelled import Labelled, of_row
from stepscore_service.jobs.online.rounds import Rounds
from stepscore_service.jobs.online.settings import UpdateSettings
from stepscore_service.jobs.online.update import update

PROGRAM = """
import os, signal, sys
from pathlib import Path
from stepscore_service.jobs.online.update import Rollouts, opened
from stepscore_service.jobs.online.rounds import Rounds
from stepscore_service.jobs.online.settings import UpdateSettings
from stepscore_service.jobs.online.update import update

reference, file, out = sys.argv[1:]

class Deadly(Rollouts):
    passes = 0
    def __iter__(self):
        Deadly.passes += 1
        for number, rollout in enumerate(super().__iter__()):
            if Deadly.passes == 2 and number == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            yield rollout

with opened(file) as source:
    settings = UpdateSettings(reference, reference, samples=2, batch=2, micro=2, rate=1e-3)
    update(settings, Deadly(source), source.digest, Rounds(Path(out)), print)
"""


def rows(problems: int) -> list[dict[str, object]]:
    return [
        {"prompt": f"How much is 2 + {n}?", "completions": [f"So it is {each}."], "outcome": each == n + 2}
        for n in range(problems)
        for each in (n + 2, n + 3)
    ]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.causal(tmp_path_factory.mktemp("online") / "sft")


@dataclass
class Watched:
    """Rollouts that count how many of them were read."""

    rollouts: list[dict[str, object]]
    read: int = 0

    def __iter__(self) -> Iterator[Labelled]:
        for row in self.rollouts:
            self.read += 1
            yield of_row({**row, "labels": [None]})


def test_rows_are_in_order_whatever_the_size_of_a_forward(reference: Path, tmp_path: Path) -> None:
    found = []
    for micro in (1, 4):
        settings = UpdateSettings(str(reference), str(reference), samples=2, micro=micro)
        watched = Watched(rows(3))
        made = update(settings, watched, "one", Rounds(tmp_path / str(micro)), lambda said: None, 6)
        assert watched.read <= 2 * len(watched.rollouts) + micro  # scored, learnt, a forward of the new weights
        assert not (made.folder / "scored.jsonl").exists()
        found.append([json.loads(line) for line in (made.folder / "rewards.jsonl").read_text().splitlines()])
    one, four = found
    assert [row["prompt"] for row in one] == [row["prompt"] for row in rows(3)]
    for row, other in zip(one, four, strict=True):
        assert row["advantages"] == pytest.approx(other["advantages"], abs=1e-3)
    every = [each for row in one for each in row["advantages"]]
    assert sum(every) / len(every) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.slow
def test_a_killed_round_is_made_again_the_same(reference: Path, tmp_path: Path) -> None:
    file = tmp_path / "rollouts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows(4)), encoding="utf-8")
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, str(reference), str(file), str(broken)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    assert [path.name for path in broken.iterdir()] == ["round-000001.part"]
    assert (broken / "round-000001.part" / "rewards.jsonl").exists(), "it was killed after it had scored"
    given = ["--model", reference, "--samples", "2", "--batch", "2", "--rate", "1e-3"]
    shown = [invoke("update", file, "--out", out, *given) for out in (broken, whole)]
    assert [each.exit_code for each in shown] == [0, 0], shown[0].stderr
    files = [{path.name: path.read_bytes() for path in (out / "round-000001").iterdir()} for out in (broken, whole)]
    assert files[0] == files[1]
    assert set(files[0]) >= {"model.safetensors", "optimiser.pt", "rewards.jsonl", "update.json"}


def test_rollouts_of_a_problem_must_stand_together(reference: Path, tmp_path: Path) -> None:
    settings = UpdateSettings(str(reference), str(reference), samples=2)
    with pytest.raises(InvalidInput, match="solve different problems"):
        update(settings, Watched(rows(2)[1:3]), "one", Rounds(tmp_path), lambda said: None)
    assert Rounds(tmp_path).last() is None
