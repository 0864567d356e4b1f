"""verl's reward loop runs our reward manager and our function (`make test-trainers`)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import checkpoints
from service_case import connect, live, torch_scorer
from trainer_clients.theirs import PROBLEM, SOLUTION

ROOT = Path(__file__).parents[2]


@pytest.mark.trainers
@pytest.mark.timeout(600)
def test_verl_s_own_classes_load_run_and_assemble_what_is_ours(tmp_path: Path) -> None:
    """The manager puts each step's reward on the token that ends the step, the function the score on the last one."""
    verl = Path(os.environ.get("TRAINERS", "")) / "verl-project/verl"
    if not (os.environ.get("TRAINERS") and (verl / "verl/protocol.py").is_file()):
        pytest.skip("TRAINERS has no whole checkout of verl-project/verl")
    folder = checkpoints.qwen_math(tmp_path / "tiny")
    with live({"tiny": torch_scorer(folder, "tiny")}) as url, connect(url) as http:
        found = run(url, verl, folder / "tokenizer.json")
        bodies = [{"problem": PROBLEM, "solution": each} for each in (SOLUTION, "She sells none.")]
        answers = [http.post("/score", json=body).json() for body in bodies]
    scores = [each["score"] for each in answers]
    assert found["manager"]["scores"] == pytest.approx(scores, abs=1e-6)
    assert found["function"]["scores"] == pytest.approx(scores, abs=1e-6)
    for row, answer in enumerate(answers):
        texts = found["texts"][row]
        ends = [next(at for at, text in enumerate(texts) if len(text) >= end) for _, end in answer["spans"]]
        assert found["manager"]["placed"][row] == pairs(ends, answer["rewards"])
        assert found["function"]["placed"][row] == pairs([len(texts) - 1], [answer["score"]])
        assert found["manager"]["logged"][row]["steps"] == len(answer["rewards"])


def run(url: str, verl: Path, tokenizer: Path) -> Any:
    paths = os.pathsep.join(map(str, (verl, ROOT / "service", ROOT / "models")))
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", ""), "PYTHONPATH": paths, "PRM_URL": url}
    command = [os.environ["VERL_PYTHON"], str(Path(__file__).with_name("verl_classes.py")), str(tokenizer)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=500)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def pairs(places: list[int], rewards: list[float]) -> list[Any]:
    return [[place, pytest.approx(reward, abs=1e-6)] for place, reward in zip(places, rewards, strict=True)]
