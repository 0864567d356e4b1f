"""Options that change how a run computes, and the policy that `--lm-only` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import checkpoints_causal as checkpoints
from cli_case import invoke, read, write
from stepscore.generate.prompt import ChatPrompt
from stepscore.generate.protocol import Request, Sampling
from stepscore.generate.transformers import open_transformers
from stepscore_service.jobs.data.labelled import of_row
from stepscore_service.jobs.modeling.batch import collator
from stepscore_service.jobs.modeling.build import build
from stepscore_service.jobs.modeling.model import Normalized
from stepscore_service.jobs.modeling.plan import Learning, Lora, TrainPlan
from stepscore_service.jobs.train.trainer import Losses

PROBLEM = "How much is 3 + 1?"
STEPS = ("3 + 1 = 4", "The answer is 4.")
LENGTH = 40
"""Optimiser steps that are enough to learn one solution by heart."""


def rows() -> list[dict[str, Any]]:
    return [
        {"prompt": f"{n} + 1?", "completions": [f"{n} + 1 = {n + wrong}", "Done."], "labels": [not wrong, None]}
        for n in range(1, 7)
        for wrong in (0, 1)
    ]


@pytest.mark.parametrize("place", [0, 1])
def test_a_first_row_that_cannot_be_used_is_said_before_the_base_is_opened(tmp_path: Path, place: int) -> None:
    """Of every file: opening a base takes much longer than reading a row."""
    files = [write(tmp_path / "good.jsonl", rows()), write(tmp_path / "bad.jsonl", [{"text": "Q", "value": [0.1]}])]
    given = files[place:] if place else files[::-1]
    result = invoke("train", *given, "--base", "/no/such/base", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "bad.jsonl, line 1: columns text, value are of no known format" in result.output, result.output


def train_weights(base: Path, data: Path, out: Path, *options: str | int) -> dict[str, torch.Tensor]:
    """The weights that a short run writes."""
    given = ["--steps", 3, "--batch", 4, "--learning-rate", "1e-2", "--eval-share", 0, *options]
    ran = invoke("train", data, "--base", base, "--out", out, *map(str, given))
    assert ran.exit_code == 0, ran.output
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize("lora", [0, 2])
def test_gradient_checkpointing_changes_no_weight(tmp_path: Path, lora: int) -> None:
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", rows())
    plain = train_weights(base, data, tmp_path / "plain", "--lora", lora)
    spared = train_weights(base, data, tmp_path / "spared", "--lora", lora, "--gradient-checkpointing")
    assert plain.keys() == spared.keys()
    for name, weight in plain.items():
        torch.testing.assert_close(spared[name], weight, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("lora", [0, 2])
def test_gradient_checkpointing_reads_each_layer_twice_and_keeps_loss_and_gradients(tmp_path: Path, lora: int) -> None:
    base = checkpoints.causal(tmp_path / "base", "qwen2")
    plain, spared = (step(base, lora, checkpointing) for checkpointing in (False, True))
    assert (plain.forwards, spared.forwards) == (1, 2)
    torch.testing.assert_close(spared.loss, plain.loss)
    assert plain.gradients.keys() == spared.gradients.keys() != set()
    for name, gradient in plain.gradients.items():
        torch.testing.assert_close(spared.gradients[name], gradient, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--lora", 2, "--share-prefixes"), ("--gradient-checkpointing",)])
@pytest.mark.filterwarnings("ignore")  # those of torch's compiler about itself
def test_compiled_layers_learn_the_same_weights(tmp_path: Path, options: tuple[str | int, ...]) -> None:
    """To train, to compute again and to measure, whatever the layer and the size of a batch."""
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", rows())
    given = (*options, "--steps", 4, "--batch", 3)
    plain = train_weights(base, data, tmp_path / "plain", *given)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    fused = train_weights(base, data, tmp_path / "fused", *given, "--compile")
    assert plain.keys() == fused.keys()
    for name, weight in plain.items():
        torch.testing.assert_close(fused[name], weight, atol=1e-5, rtol=1e-4)
    assert 1 <= torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 3


@pytest.mark.parametrize("output", [("--lm-only",), ("--output", "number_logprob")])
def test_an_output_without_a_head_has_nothing_to_normalize(tmp_path: Path, output: tuple[str, ...]) -> None:
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", rows())
    result = invoke("train", data, "--base", base, "--out", tmp_path / "number_logprob", "--normalize-head", *output)
    assert result.exit_code == 2
    assert "--normalize-head is about a head" in result.output


def test_more_tokens_than_the_base_reads_are_refused(tmp_path: Path) -> None:
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", rows())
    result = invoke("train", data, "--base", base, "--out", tmp_path / "out", "--max-tokens", 10**6)
    assert result.exit_code == 2
    assert "--max-tokens 1000000 is above the base's limit of" in result.output


def test_features_are_normalized_and_one_that_never_changes_stays() -> None:
    hidden_SD = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 0.1, 0.0]) + 100
    normalized = Normalized(3)
    normalized.measure(hidden_SD)
    found = normalized(hidden_SD)
    torch.testing.assert_close(found.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-3, rtol=0)
    normalized.measure(hidden_SD[:1])
    torch.testing.assert_close(normalized(hidden_SD[:1] + 1), torch.ones(1, 3))


@dataclass(frozen=True, slots=True)
class Step:
    """forwards: how often the first layer's feed-forward block was begun."""

    loss: torch.Tensor
    gradients: dict[str, torch.Tensor]
    forwards: int


def step(base: Path, lora: int, checkpointing: bool) -> Step:
    """One forward and backward over all rows, as a run makes it."""
    setup = build(TrainPlan(str(base), lora=Lora(lora), learning=Learning(checkpointing=checkpointing)))
    examples = list(setup.encoder.examples(of_row(row) for row in rows()))
    batch = collator(setup.objective, "packed")([(each,) for each in examples])
    calls: list[None] = []
    layer = setup.model.lm.get_decoder().layers[0].mlp
    layer.register_forward_pre_hook(lambda *given: calls.append(None))
    counts = torch.tensor([batch.items, batch.predictions])
    loss = Losses(setup.objective, 0.0).of(setup.model.train(), batch, counts)
    loss.backward()  # type: ignore[no-untyped-call]
    named = setup.model.named_parameters()
    return Step(loss.detach(), {name: each.grad for name, each in named if each.grad is not None}, len(calls))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learnt one solution by heart."""
    folder = tmp_path_factory.mktemp("policy")
    data = write(folder / "rows.jsonl", [{"prompt": PROBLEM, "completions": STEPS, "labels": [True, True]}])
    train_weights(checkpoints.causal(folder / "base", "qwen2"), data, folder / "out", "--lm-only", "--steps", LENGTH)
    return folder / "out"


def test_the_loss_of_a_language_model_falls(policy: Path) -> None:
    state = json.loads((policy / "checkpoints" / f"checkpoint-{LENGTH}" / "trainer_state.json").read_text())
    losses = [each["loss"] for each in state["log_history"] if "loss" in each]
    assert losses[-1] < losses[0] / 10


def test_a_trained_policy_is_opened_by_transformers_as_it_stands(policy: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(policy)
    written = load_file(policy / "model.safetensors")
    assert torch.equal(model.lm_head.weight, written["lm_head.weight"])
    assert type(model).__name__ == "Qwen2ForCausalLM"


def test_a_trained_policy_answers_as_it_was_taught_and_ends(policy: Path) -> None:
    generator = open_transformers(policy, torch.device("cpu"), torch.float32, 256)
    prompt = ChatPrompt(AutoTokenizer.from_pretrained(policy)).write(PROBLEM, "")
    ((found,),) = generator.generate([Request(prompt, Sampling(max_tokens=60, temperature=0))])
    generator.close()
    assert (found.text, found.stop_reason) == ("\n".join(STEPS), "stop")


def test_label_asks_a_trained_policy_as_it_was_taught(tmp_path: Path, policy: Path) -> None:
    problems = write(tmp_path / "problems.jsonl", [{"problem": PROBLEM, "answer": "4"}])
    sampling = ["--samples", 1, "-k", 2, "--temperature", 0.01, "--rollout-tokens", 60, "--dtype", "float32"]
    ran = invoke("label", problems, "--model", policy, "--out", tmp_path / "labels", *map(str, sampling))
    assert ran.exit_code == 0, ran.output
    (row,) = read(tmp_path / "labels" / "labels-00000.jsonl")
    assert tuple(row["completions"]) == STEPS
    assert row["labels"] == [1.0, 1.0]
