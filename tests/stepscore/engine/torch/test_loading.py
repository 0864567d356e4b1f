"""A checkpoint that is not whole is refused with the name of what is wrong; nothing is made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import engine_case as case
from stepscore.checkpoint import read_facts
from stepscore.config import CheckpointFacts
from stepscore.errors import CheckpointError, InvalidInput, TooLong
from stepscore.family.heads import LinearHead
from stepscore.types import Encoded


def rewrite(facts: CheckpointFacts, **changes: torch.Tensor | None) -> CheckpointFacts:
    """The same checkpoint with tensors replaced, added or (None) removed; `__` in a name stands for a dot."""
    state = case.state_of(facts)
    for name, tensor in changes.items():
        key = name.replace("__", ".")
        if tensor is None:
            del state[key]
        else:
            state[key] = tensor
    save_file(state, facts.path / "model.safetensors")
    return read_facts(facts.path)


@pytest.mark.parametrize(
    "key",
    [
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.0.self_attn.k_proj.bias",
        "model.norm.weight",
        "score.0.weight",
        "score.2.weight",
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, key: str) -> None:
    facts = rewrite(case.write(tmp_path), **{key.replace(".", "__"): None})
    with pytest.raises(CheckpointError, match="lacks") as caught:
        case.engine(facts)
    assert caught.value.detail["key"] == key


def test_a_checkpoint_without_a_decoder_is_refused(tmp_path: Path) -> None:
    facts = rewrite(case.write(tmp_path), model__embed_tokens__weight=None)
    with pytest.raises(CheckpointError, match="embed_tokens"):
        case.engine(facts)


@pytest.mark.parametrize(
    "key",
    [
        "model.layers.3.mlp.up_proj.weight",
        "model.layers.0.self_attn.o_proj.bias",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "score.4.weight",
    ],
)
def test_a_tensor_without_a_place_is_named(tmp_path: Path, key: str) -> None:
    facts = rewrite(case.write(tmp_path), **{key.replace(".", "__"): torch.zeros(2)})
    with pytest.raises(CheckpointError, match="no place") as caught:
        case.engine(facts)
    assert caught.value.detail["unexpected"] == [key]


def test_harmless_extras_are_let_by(tmp_path: Path) -> None:
    facts = rewrite(case.write(tmp_path), model__layers__0__self_attn__rotary_emb__inv_freq=torch.zeros(4))
    assert "lm_head.weight" in facts.shapes
    case.engine(facts)


@pytest.mark.parametrize(
    ("key", "shape"),
    [("score.2.weight", (3, 32)), ("model.embed_tokens.weight", (63, 32)), ("score.2.bias", (1,))],
)
def test_a_wrong_shape_is_named(tmp_path: Path, key: str, shape: tuple[int, ...]) -> None:
    facts = rewrite(case.write(tmp_path), **{key.replace(".", "__"): torch.zeros(shape)})
    with pytest.raises(CheckpointError) as caught:
        case.engine(facts)
    assert caught.value.detail["key"] == key
    assert caught.value.detail["shape"] == shape


def test_a_head_of_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"score\.2\.weight"):
        case.engine(case.write(tmp_path), LinearHead(("score.0", "score.2"), outputs=3))


def test_a_config_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    facts = case.write(tmp_path)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        case.engine(replace(facts, config={**facts.config, "num_hidden_layers": "three"}))


def test_pytorch_files_under_another_prefix(tmp_path: Path) -> None:
    facts = case.write(tmp_path)
    sequences = case.batch(seed=1)
    wanted = case.engine(facts).forward(sequences)
    state = case.state_of(facts)
    backbone = {f"pretrained_model.{key}": value for key, value in state.items() if not key.startswith("score")}
    torch.save(backbone, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({k: v for k, v in state.items() if k.startswith("score")}, tmp_path / "pytorch_model-00002-of-00002.bin")
    (tmp_path / "model.safetensors").unlink()
    case.assert_close(case.engine(read_facts(tmp_path)).forward(sequences), wanted)


def test_sequences_that_cannot_be_run_cost_no_forward(tmp_path: Path) -> None:
    engine = case.engine(case.write(tmp_path), max_tokens=8)
    good = Encoded((1, 2, 3), (2,))
    with pytest.raises(TooLong) as caught:
        engine.forward([good, Encoded(tuple(range(10)), (9,))])
    assert caught.value.detail == {"tokens": 10, "limit": 8, "excess": 2, "item": 1}
    for bad in (
        Encoded((1, 64), (1,)),
        Encoded((-1,), (0,)),
        Encoded((1, 2), (2,)),
        Encoded((1, 2), (1, 0)),
        Encoded((1, 2), (1, 1)),
        Encoded((1, 2), (1,), targets=(3,)),
    ):
        with pytest.raises(InvalidInput):
            engine.forward([good, bad])
    assert engine.counts().computed == 0


def test_nothing_to_read_is_no_error(tmp_path: Path) -> None:
    engine = case.engine(case.write(tmp_path))
    assert engine.forward([]) == []
    assert [one.shape for one in engine.forward([Encoded((1, 2), ()), Encoded((1, 2), (1,))])] == [(0, 2), (1, 2)]
