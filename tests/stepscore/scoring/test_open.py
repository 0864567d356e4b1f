"""Opening a checkpoint: whole ones score, damaged ones are errors that say what is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import checkpoints
import checkpoints_causal
from loading_case import CPU, change_config, change_weights, rewards
from stepscore.checkpoint import locate, read_facts
from stepscore.errors import CheckpointError
from stepscore.families.pure import FAMILY as PURE
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import default_aggregate

# Whole checkpoints in every shape they are published in


def test_shards_change_nothing(tmp_path: Path) -> None:
    whole, sharded = checkpoints.qwen_math(tmp_path / "whole"), checkpoints.qwen_math(tmp_path / "sharded", shards=4)
    assert len(list(sharded.glob("*.safetensors"))) == 4
    assert rewards(whole) == rewards(sharded)


def test_tied_embeddings_are_the_vocabulary_head(tmp_path: Path) -> None:
    tied = checkpoints_causal.causal(tmp_path / "tied", tie_word_embeddings=True)
    untied = checkpoints_causal.causal(tmp_path / "untied")
    embeddings = load_file(tied / "model.safetensors")["model.embed_tokens.weight"]
    change_weights(untied, lm_head__weight=embeddings.clone())
    assert "lm_head.weight" not in read_facts(tied).shapes
    assert rewards(tied, "rlhflow") == pytest.approx(rewards(untied, "rlhflow"), abs=1e-6)


def test_a_causal_head_left_on_a_class_model_is_let_by(tmp_path: Path) -> None:
    plain, extra = checkpoints.qwen_math(tmp_path / "plain"), checkpoints.qwen_math(tmp_path / "extra")
    change_weights(extra, lm_head__weight=torch.full((300, checkpoints.HIDDEN), 9.0))
    assert rewards(extra) == rewards(plain)


def test_pytorch_files_change_nothing(tmp_path: Path) -> None:
    folder = checkpoints.qwen_math(tmp_path / "prm")
    expected = rewards(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert rewards(folder) == expected


def test_a_checkpoint_may_name_an_aggregate_of_its_own(tmp_path: Path) -> None:
    folder = checkpoints.qwen_math(tmp_path / "prm")
    for own, taken in ((None, "prod"), ("last", "last")):
        change_config(folder, default_aggregate=own)
        assert open_scorer(str(folder), options=CPU).info.aggregate == taken


@pytest.mark.parametrize("wrong", ["median", 3, ["last"], ""])
def test_an_aggregate_that_there_is_not_is_refused_at_the_start(tmp_path: Path, wrong: object) -> None:
    folder = change_config(checkpoints.qwen_math(tmp_path / "prm"), default_aggregate=wrong)
    with pytest.raises(CheckpointError, match=r"default_aggregate in .*config.json: "):
        open_scorer(str(folder), options=CPU)


def test_an_aggregate_that_the_rewards_do_not_have_is_refused_at_the_start(tmp_path: Path) -> None:
    folder = change_config(checkpoints.qwen_math(tmp_path / "prm"), default_aggregate="prod")
    with pytest.raises(CheckpointError, match=r"default_aggregate in .*config.json: 'prod' needs rewards in \[0, 1\]"):
        default_aggregate(PURE, read_facts(folder))


def test_the_revision_names_config_and_weights(tmp_path: Path) -> None:
    folder = checkpoints.qwen_math(tmp_path / "prm")
    first = read_facts(folder).revision
    assert read_facts(folder).revision == first
    second = read_facts(change_weights(folder, score__2__bias=torch.tensor([1.0, 2.0]))).revision
    third = read_facts(change_config(folder, rope_theta=5000.0)).revision
    assert len({first, second, third}) == 3
    written_elsewhere = change_config(folder, _name_or_path="/elsewhere", transformers_version="9.9")
    assert read_facts(written_elsewhere).revision == third


# Damaged ones


def delete(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def write(file: str, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / file).write_bytes(content)

    return damage


def cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(delete("config.json"), r"config\.json is missing", id="no config"),
        pytest.param(write("config.json", b"{"), "not JSON", id="broken config"),
        pytest.param(write("config.json", b"\xff\xfe"), "not JSON", id="binary config"),
        pytest.param(write("config.json", b"[]"), "not a JSON object", id="config is a list"),
        pytest.param(
            lambda f: change_config(f, num_hidden_layers="three"), r"config\.json", id="a layer count in words"
        ),
        pytest.param(lambda f: change_config(f, hidden_size=64), "shape", id="another width"),
        pytest.param(delete("model.safetensors"), "holds no weights", id="no weights"),
        pytest.param(write("model.safetensors", b"\x00" * 64), "damaged", id="weights of zeros"),
        pytest.param(cut_weights, "damaged", id="weights cut short"),
        pytest.param(
            lambda f: change_weights(f, score__2__weight=torch.zeros(3, 32)), r"score\.2\.weight", id="3 classes"
        ),
        pytest.param(lambda f: change_weights(f, score__0__weight=torch.zeros(16, 32)), r"score\.0\.", id="thin head"),
        pytest.param(lambda f: change_weights(f, score__2__weight=None), "no family reads", id="no head"),
        pytest.param(lambda f: change_weights(f, model__norm__weight=None), r"model\.norm\.weight", id="no norm"),
        pytest.param(
            lambda f: change_weights(f, score__4__weight=torch.zeros(2)), r"score\.4\.weight", id="a third layer"
        ),
        pytest.param(
            lambda f: change_weights(f, model__layers__0__self_attn__q_proj__lora_A__weight=torch.zeros(2)),
            "lora_A",
            id="an adapter that would be ignored",
        ),
        pytest.param(delete("tokenizer.json"), "tokenizer", id="no tokenizer"),
        pytest.param(write("tokenizer.json", b"{}"), "tokenizer", id="broken tokenizer"),
    ],
)
def test_a_damaged_checkpoint_says_what_is_wrong(tmp_path: Path, damage: Callable[[Path], Any], says: str) -> None:
    folder = checkpoints.qwen_math(tmp_path / "prm")
    damage(folder)
    with pytest.raises(CheckpointError, match=says):
        open_scorer(str(folder), options=CPU)


@pytest.mark.parametrize("name", ["model.safetensors", "adapter_model.safetensors", "zz-old.safetensors"])
def test_a_tensor_in_two_files_is_refused_with_both(tmp_path: Path, name: str) -> None:
    """mlx-vlm#1464, CoSER#3: what an earlier save left beside the shards took the place of their tensors in silence."""
    folder = checkpoints.qwen_math(tmp_path / "prm", shards=3)
    shard = folder / "model-00002-of-00003.safetensors"
    shutil.copy(shard, folder / name)
    with pytest.raises(CheckpointError, match="twice") as caught:
        open_scorer(str(folder), options=CPU)
    assert sorted(caught.value.detail["files"]) == sorted([name, shard.name])


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = checkpoints.qwen_math(tmp_path / "prm", shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00003") as caught:
        open_scorer(str(folder), options=CPU)
    assert caught.value.detail["missing"] == ["model-00002-of-00003.safetensors"]


def test_a_head_that_lacks_a_layer_is_named_where_the_family_is(tmp_path: Path) -> None:
    folder = change_weights(checkpoints.qwen_math(tmp_path / "prm"), score__2__weight=None)
    with pytest.raises(CheckpointError, match=r"lacks the tensor score\.2\.weight"):
        open_scorer(str(folder), family="qwen_math", options=CPU)


def test_an_untied_model_without_a_vocabulary_head_is_refused(tmp_path: Path) -> None:
    folder = change_weights(checkpoints_causal.causal(tmp_path / "prm"), lm_head__weight=None)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight"):
        open_scorer(str(folder), family="rlhflow", options=CPU)


def test_a_tokenizer_without_the_marker_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.token_classification(tmp_path / "prm")
    with pytest.raises(CheckpointError, match="<extra_0>"):
        open_scorer(str(folder), family="qwen_math", options=CPU)


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/at/all", "one-word"])
def test_a_place_without_a_checkpoint_is_an_error(model: str) -> None:
    with pytest.raises(CheckpointError, match=r"is not a folder; give .* or embedded or embedded-head"):
        locate(model)
