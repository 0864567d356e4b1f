"""The marker's embedding is trained beside adapters, and no step of the training is as large as the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

import checkpoints_causal as checkpoints
from stepscore.config import EngineOptions
from stepscore.scoring.open import open_scorer
from stepscore.types import Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.modeling.batch import TrainBatch, collator
from stepscore_service.jobs.modeling.build import TrainSetup, build
from stepscore_service.jobs.modeling.plan import Learning, Lora, TrainPlan
from stepscore_service.jobs.modeling.saving import save

SOLUTIONS = [
    Labelled(Solution("2+3?", ("2 + 3 = 5", "So it is 5.")), (1.0, 1.0), True),
    Labelled(Solution("4+4?", ("4 + 4 = 9", "It is 9.")), (0.0, None), False),
]


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that an operation made."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and not func.is_view:
            self.elements = max(self.elements, made.numel())
        return made


@pytest.fixture(params=["qwen2", "llama"])
def setup(request: pytest.FixtureRequest, tmp_path: Path) -> TrainSetup:
    base = checkpoints.causal(tmp_path / "base", request.param)
    return build(TrainPlan(str(base), "qwen_math", lora=Lora(2)))


def batch_of(setup: TrainSetup) -> TrainBatch:
    examples = list(setup.encoder.examples(SOLUTIONS))
    return collator(setup.objective, "padded")([(each,) for each in examples])


def test_a_step_makes_no_tensor_as_large_as_the_embedding(setup: TrainSetup) -> None:
    batch = batch_of(setup)
    with Largest() as largest:
        setup.model(batch)[0].square().sum().backward()
    table = setup.model.lm.get_input_embeddings().embedding.weight
    assert table.grad is None
    assert 0 < largest.elements < table.numel()


def test_the_marker_is_learnt_and_written_and_every_other_row_stays(setup: TrainSetup, tmp_path: Path) -> None:
    embedding = setup.model.lm.get_input_embeddings()
    before = embedding.embedding.weight.clone()
    optimiser = torch.optim.SGD([each for each in setup.model.parameters() if each.requires_grad], lr=0.5)
    setup.model(batch_of(setup))[0].square().sum().backward()
    optimiser.step()
    with torch.no_grad():
        wanted = setup.model.eval()(batch_of(setup))[0]
    save(setup, tmp_path / "out")
    after = load_file(tmp_path / "out" / "model.safetensors")["model.embed_tokens.weight"]
    (marker,) = setup.base.new_tokens
    assert [row for row in range(len(before)) if not torch.equal(before[row], after[row])] == [marker]
    scorer = open_scorer(str(tmp_path / "out"), options=EngineOptions(device="cpu", dtype="float32"))
    sequences = [one for each in SOLUTIONS for one in scorer.encode(each.solution).sequences]
    found = torch.cat([torch.from_numpy(each) for each in scorer._engine.forward(sequences)])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_what_is_trained_beside_bfloat16_weights_is_float32(tmp_path: Path) -> None:
    base = checkpoints.causal(tmp_path / "base", "qwen2")
    model = build(TrainPlan(str(base), "qwen_math", lora=Lora(2), learning=Learning(bf16=True))).model
    frozen = {each.dtype for each in model.parameters() if not each.requires_grad}
    assert (frozen, {each.dtype for each in model.parameters() if each.requires_grad}) == (
        {torch.bfloat16},
        {torch.float32},
    )
