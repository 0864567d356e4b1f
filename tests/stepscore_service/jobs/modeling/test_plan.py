"""A plan's choices reach what is trained: which labels count, as what, and the ids that the family itself writes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import checkpoints_causal as checkpoints
import tokenizers_for_tests as tokenizers
from checkpoints import backbone_state, decoder_config, save, vocabulary_head
from stepscore.types import Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.modeling.build import build
from stepscore_service.jobs.modeling.objective import Targets
from stepscore_service.jobs.modeling.objectives.registry import open_objective
from stepscore_service.jobs.modeling.plan import TrainPlan

NAN = float("nan")
SOLUTION = Solution("How many?", ("3 + 4 = 7.", "7 + 1 = 8.", "So 8.", "Done."))


def labels_of(plan: TrainPlan, *labels: float) -> list[float]:
    (example,) = build(plan).encoder.examples([Labelled(SOLUTION, labels)])
    return example.labels.tolist()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(checkpoints.causal(tmp_path_factory.mktemp("plan") / "base", "qwen2"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1.0, 0.0, NAN, NAN]),
        ({"output": "pqm", "objective": "pqm"}, [1.0, 0.0, 0.0, 1.0]),
        ({"output": "pqm", "objective": "pqm", "after_error": "masked"}, [1.0, 0.0, NAN, NAN]),
        ({"after_error": "zeroed"}, [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_labels_after_the_first_error_are_those_of_the_plan(
    base: str, options: dict[str, Any], expected: list[float]
) -> None:
    np.testing.assert_array_equal(labels_of(TrainPlan(base, **options), 1.0, 0.0, 0.0, 1.0), expected)


@pytest.mark.parametrize(("error_below", "expected"), [(0.0, [0.25, 0.5, 1.0, 0.0]), (0.5, [0.25, NAN, NAN, NAN])])
def test_the_first_error_is_the_plans(base: str, error_below: float, expected: list[float]) -> None:
    plan = TrainPlan(base, objective="soft", error_below=error_below)
    np.testing.assert_array_equal(labels_of(plan, 0.25, 0.5, 1.0, 0.0), expected)


@pytest.mark.parametrize("objective", ["cross-entropy", "orm", "pqm"])
def test_hard_labels_follow_the_plans_rule(objective: Any) -> None:
    numbers_S1 = torch.tensor([[0.3], [-1.0]])

    def loss(first: float, error_below: float) -> float:
        targets = Targets(torch.tensor([first, 1.0]), torch.tensor([NAN]), (2,))
        plan = TrainPlan("base", objective=objective, error_below=error_below)
        return float(open_objective(plan).total(numbers_S1, targets))

    assert loss(0.25, 0.0) == pytest.approx(loss(1.0, 0.0))
    assert loss(0.25, 0.5) == pytest.approx(loss(0.0, 0.0))
    assert loss(0.25, 0.0) != pytest.approx(loss(0.25, 0.5))


def test_trls_layout_has_the_bos_that_a_base_names_and_does_not_write(tmp_path: Path) -> None:
    """SmolLM2's kind: TRL prepends `bos_token_id` whenever there is one."""
    tokenizer = copy.deepcopy(tokenizers.qwen())
    tokenizer.bos_token = "<|endoftext|>"
    config = decoder_config("llama", tokenizer)
    state = backbone_state(config) | vocabulary_head(config)
    base = save(tmp_path / "base", config, state, tokenizer, "LlamaForCausalLM")
    (example,) = build(TrainPlan(str(base), "token_classification")).encoder.examples([Labelled(SOLUTION, (1.0,) * 4)])
    assert example.ids[0] == tokenizer.bos_token_id
    assert example.ids[1:].tolist().count(tokenizer.bos_token_id) == 0
    assert (example.ids[example.reads] == tokenizer.encode("\n")[-1]).all()
