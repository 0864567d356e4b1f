"""The loss of a tiny model equals that of TRL's PRMTrainer on the same rows (`make test-trl`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import checkpoints_causal as checkpoints
from stepscore_service.jobs.data.labelled import of_row
from stepscore_service.jobs.modeling.batch import collator
from stepscore_service.jobs.modeling.build import build
from stepscore_service.jobs.modeling.plan import Learning, TrainPlan
from stepscore_service.jobs.modeling.saving import save
from stepscore_service.jobs.train.trainer import Losses

pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore")]

ROWS: list[dict[str, Any]] = [
    {"prompt": "How much is 2+3?", "completions": ["2+3 = 5.", "So it is 5."], "labels": [True, True]},
    {"prompt": "Which is larger, 9.8 or 9.11?", "completions": ["11 > 8.", "So 9.11."], "labels": [False, False]},
    {
        "prompt": "4+4?",
        "completions": ["4+4 = 8", "Half of it is 4.", "The answer is 5."],
        "labels": [True, True, False],
    },
]


def test_the_loss_is_that_of_trl(tmp_path: Path) -> None:
    base = checkpoints.causal(tmp_path / "base", "qwen2")
    plan = TrainPlan(str(base), "token_classification", after_error="kept", learning=Learning())
    setup = build(plan)
    examples = list(setup.encoder.examples(of_row(row) for row in ROWS))
    batch = collator(setup.objective, "packed")([(each,) for each in examples])
    with torch.no_grad():
        counts = torch.tensor([batch.items, batch.predictions])
        ours = Losses(setup.objective, 0.0).of(setup.model.eval(), batch, counts)
    save(setup, tmp_path / "out")
    assert ours.item() == pytest.approx(loss_of_trl(tmp_path / "out", tmp_path / "trl"), abs=1e-6)


def loss_of_trl(checkpoint: Path, out: Path) -> float:
    from datasets import Dataset
    from transformers import AutoModelForTokenClassification, AutoTokenizer
    from trl.experimental.prm import PRMConfig, PRMTrainer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForTokenClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()
    settings = PRMConfig(
        output_dir=str(out),
        per_device_train_batch_size=len(ROWS),
        use_cpu=True,
        report_to="none",
        bf16=False,
        gradient_checkpointing=False,
    )
    trainer = PRMTrainer(model=model, args=settings, train_dataset=Dataset.from_list(ROWS), processing_class=tokenizer)
    (inputs,) = trainer.get_train_dataloader()
    with torch.no_grad():
        return float(trainer.model.eval()(**inputs).loss)
