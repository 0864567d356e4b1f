"""Every kind of head, by hand over transformers' hidden states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import checkpoints
import engine_case as case
import tokenizers_for_tests as tokenizers
from stepscore.checkpoint import read_facts
from stepscore.errors import CheckpointError
from stepscore.family.heads import EnsembleHead, LinearHead, TokenLogProbHead, VocabularyHead

MODES = pytest.mark.parametrize("mode", ["fast", "invariant"])


@MODES
@pytest.mark.parametrize("bias", [True, False])
def test_one_linear_layer(tmp_path: Path, mode: str, bias: bool) -> None:
    tokenizer = tokenizers.qwen()
    config = checkpoints.decoder_config("qwen2", tokenizer, vocab_size=case.VOCABULARY)
    head = checkpoints.linear("v_head.summary", 1, bias=bias)
    checkpoints.save(tmp_path, config, checkpoints.backbone_state(config) | head, tokenizer, "Qwen2ForPrmModel")
    facts = read_facts(tmp_path)
    sequences = case.batch(seed=1)
    offset = head["v_head.summary.bias"] if bias else 0.0
    wanted = [(rows @ head["v_head.summary.weight"].T + offset).numpy() for rows in case.hidden(facts, sequences)]
    case.assert_close(case.engine(facts, LinearHead(("v_head.summary",), 1), mode=mode).forward(sequences), wanted)


@MODES
def test_ensemble(tmp_path: Path, mode: str) -> None:
    tokenizer = tokenizers.qwen()
    config = checkpoints.decoder_config("qwen2", tokenizer, vocab_size=case.VOCABULARY)
    torch.manual_seed(0)
    sizes = {"nn1": (32, 12), "nn2": (12, 10), "nn_out": (10, 1)}
    head = {f"score.model.{name}.weight": torch.randn(3, *size) for name, size in sizes.items()}
    head |= {f"score.model.{name}.bias": torch.randn(3, size[1]) for name, size in sizes.items()}
    head["score.reg_model.nn1.weight"] = torch.zeros(1)
    checkpoints.save(tmp_path, config, checkpoints.backbone_state(config) | head, tokenizer, "Qwen2ForEnsemblePRM")
    facts = read_facts(tmp_path)
    sequences = case.batch(seed=2)
    wanted = [
        np.stack([_member(rows, head, member) for member in range(3)], 1) for rows in case.hidden(facts, sequences)
    ]
    case.assert_close(case.engine(facts, EnsembleHead("score.model", 3), mode=mode).forward(sequences), wanted)


def _member(rows: torch.Tensor, head: dict[str, torch.Tensor], member: int) -> np.ndarray:
    for name in ("nn1", "nn2", "nn_out"):
        rows = rows @ head[f"score.model.{name}.weight"][member] + head[f"score.model.{name}.bias"][member]
        rows = torch.relu(rows) if name != "nn_out" else rows
    return rows[:, 0].numpy()


@MODES
@pytest.mark.parametrize("tied", [True, False])
def test_vocabulary_rows(tmp_path: Path, mode: str, tied: bool) -> None:
    facts = case.write(tmp_path, tie_word_embeddings=tied)
    sequences = case.batch(seed=3)
    rows = _vocabulary(facts, tied)[[7, 3]]
    wanted = [(states @ rows.T).numpy() for states in case.hidden(facts, sequences)]
    case.assert_close(case.engine(facts, VocabularyHead((7, 3)), mode=mode).forward(sequences), wanted)


@MODES
@pytest.mark.parametrize("tied", [True, False])
def test_token_log_probabilities_against_a_reference(tmp_path: Path, mode: str, tied: bool) -> None:
    policy = case.write(tmp_path / "policy", tie_word_embeddings=tied)
    reference = case.write(tmp_path / "reference", seed=7, tie_word_embeddings=tied, num_hidden_layers=2)
    sequences = case.batch(seed=4, targets=True)
    columns = [_log_probs(facts, sequences, tied) for facts in (policy, reference)]
    wanted = [np.stack(pair, axis=1) for pair in zip(*columns, strict=True)]
    engine = case.engine(policy, TokenLogProbHead(reference=True), mode=mode, reference_model=reference.path)
    case.assert_close(engine.forward(sequences), wanted)
    case.assert_close(engine.forward(sequences), wanted)


def test_token_log_probabilities_alone(tmp_path: Path) -> None:
    facts = case.write(tmp_path)
    sequences = case.batch(seed=5, targets=True, size=3)
    wanted = [one[:, None] for one in _log_probs(facts, sequences, tied=False)]
    case.assert_close(case.engine(facts, TokenLogProbHead(reference=False)).forward(sequences), wanted)


@MODES
def test_log_probabilities_of_other_tokens_beside_the_targets(tmp_path: Path, mode: str) -> None:
    facts = case.write(tmp_path)
    sequences = case.batch(seed=5, targets=True, size=3)
    sevens = [replace(each, targets=(7,) * len(each.reads)) for each in sequences]
    alone = case.engine(facts, TokenLogProbHead(reference=False))
    pairs = zip(alone.forward(sequences), alone.forward(sevens), strict=True)
    wanted = [np.concatenate(pair, axis=1) for pair in pairs]
    engine = case.engine(facts, TokenLogProbHead(reference=False, beside=(7,)), mode=mode)
    case.assert_close(engine.forward(sequences), wanted)
    with pytest.raises(CheckpointError, match="64"):
        case.engine(facts, TokenLogProbHead(reference=False, beside=(64,)))


def test_a_missing_reference_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="reference"):
        case.engine(case.write(tmp_path), TokenLogProbHead(reference=True))


def test_token_ids_outside_the_vocabulary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="64"):
        case.engine(case.write(tmp_path), VocabularyHead((3, 64)))


def _vocabulary(facts: object, tied: bool) -> torch.Tensor:
    return case.state_of(facts)["model.embed_tokens.weight" if tied else "lm_head.weight"]


def _log_probs(facts: object, sequences: list, tied: bool) -> list[np.ndarray]:
    found = []
    for one, states in zip(sequences, case.hidden(facts, sequences), strict=True):
        logs = torch.log_softmax(states @ _vocabulary(facts, tied).T, dim=-1)
        found.append(logs[range(len(one.reads)), list(one.targets)].numpy())
    return found
