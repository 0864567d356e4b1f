"""The vocabulary is read in parts: the same numbers and gradients, and never all logits at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import cross_entropy

import checkpoints_causal as checkpoints
from stepscore.types import Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.modeling.batch import TrainBatch, collator
from stepscore_service.jobs.modeling.build import TrainSetup, build
from stepscore_service.jobs.modeling.model import VOCABULARY_ROWS, by_parts
from stepscore_service.jobs.modeling.plan import TrainPlan

ROWS = VOCABULARY_ROWS["cpu"]


@pytest.mark.parametrize("count", [0, 1, ROWS, 2 * ROWS + 3])
def test_parts_give_the_numbers_and_gradients_of_the_whole(tmp_path: Path, count: int) -> None:
    lm = build(TrainPlan(str(checkpoints.causal(tmp_path / "base", "qwen2")))).base.lm
    hidden = torch.randn(count, lm.config.hidden_size, requires_grad=True)
    targets = torch.arange(count) % lm.config.vocab_size

    def losses(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits, wanted, reduction="none")

    whole = losses(lm.get_output_embeddings()(hidden), targets)
    found = by_parts(lm, losses, hidden, targets)
    torch.testing.assert_close(found, whole)
    gradients = [torch.autograd.grad(each.sum(), hidden)[0] for each in (whole, found)]
    torch.testing.assert_close(gradients[1], gradients[0])


def largest_kept(setup: TrainSetup, batch: TrainBatch) -> int:
    """Elements of the largest tensor that a forward keeps for its gradient, weights aside."""
    weights = {each.untyped_storage().data_ptr() for each in setup.model.parameters()}
    sizes = [0]

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            sizes.append(tensor.numel())
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        setup.model(batch)
    return max(sizes)


@pytest.mark.parametrize(("output", "lm_weight"), [("qwen_math", 0.0), ("qwen_math", 1.0), ("implicit", 0.0)])
def test_no_forward_keeps_a_vocabulary_for_each_token(tmp_path: Path, output: str, lm_weight: float) -> None:
    base = checkpoints.causal(tmp_path / "base", "qwen2")
    objective = "implicit" if output == "implicit" else "cross-entropy"
    setup = build(TrainPlan(str(base), output, objective, lm_weight=lm_weight))  # type: ignore[arg-type]
    solution = Labelled(Solution("1 + 1?", ("1 + 1 = 2. " * 60, "So it is 2.")), (1.0, 0.0), True)
    examples = list(setup.encoder.examples([solution]))
    batch = collator(setup.objective, "packed")([tuple(examples)])
    assert batch.input_ids.numel() > ROWS
    config = setup.base.lm.config
    assert largest_kept(setup, batch) < ROWS * config.vocab_size
