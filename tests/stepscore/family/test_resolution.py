"""Which family reads a checkpoint: every published name, the order of the evidence, and the reasons given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from stepscore.checkpoint import folder_name
from stepscore.config import CheckpointFacts
from stepscore.errors import UnknownFamily
from stepscore.family.registry import Family, explain, families, resolve

BACKBONE = ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight")
CAUSAL = (*BACKBONE, "lm_head.weight")
CLASSES = (*BACKBONE, "score.weight")
MLP = (*BACKBONE, "score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias")
VALUE = (*CAUSAL, "v_head.summary.weight", "v_head.summary.bias")

PUBLISHED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "acemath_rm": ("Qwen2ForSequenceClassification", CLASSES),
    "act_prm": ("Qwen2ForEnsemblePRM", (*BACKBONE, "score.model.nn1.weight", "score.reg_model.nn1.weight")),
    "armo_rm": ("LlamaForRewardModelWithGating", (*BACKBONE, "regression_layer.weight", "gating.layers.0.weight")),
    "er_prm": ("LlamaForCausalLM", CAUSAL),
    "gen_prm": ("Qwen2ForCausalLM", CAUSAL),
    "implicit_stage2": ("Qwen2ForCausalLM", CAUSAL),
    "math_psa": ("Qwen2ForCausalLM", CAUSAL),
    "math_shepherd": ("MistralForCausalLM", CAUSAL),
    "path_finder": ("Qwen2ForCausalLM", CAUSAL),
    "pqm": ("LlamaForCausalLM", VALUE),
    "pure": ("Qwen2ForTokenClassification", CLASSES),
    "qwen_math": ("Qwen2ForProcessRewardModel", MLP),
    "qwen_math_rm": ("Qwen2ForRewardModel", MLP),
    "r_prm": ("Qwen2ForCausalLM", CAUSAL),
    "reasonflux": ("Qwen2ForProcessRewardModel", MLP),
    "rlhflow": ("LlamaForCausalLM", CAUSAL),
    "skywork": ("Qwen2ForPrmModel", VALUE),
    "think_prm": ("Qwen2ForCausalLM", CAUSAL),
    "token_classification": ("Qwen2ForTokenClassification", CLASSES),
    "number_logprob": ("LlamaForCausalLM", BACKBONE),
}
BY_CHECKPOINT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "PRIME-RL/EurusPRM-Stage1": ("Qwen2ForCausalLM", CAUSAL),
    "Windy0822/ImplicitPRM_DPO": ("LlamaForCausalLM", CAUSAL),
    "Windy0822/ImplicitPRM_CE": ("LlamaForCausalLM", CAUSAL),
    "ryokamoi/Llama-3.1-8B-FoVer-PRM": ("LlamaForCausalLM", CAUSAL),
    "ryokamoi/Qwen-2.5-7B-FoVer-PRM": ("Qwen2ForCausalLM", CAUSAL),
    "ryokamoi/Llama-3.1-8B-FoVer-PRM-2026": ("LlamaForCausalLM", CAUSAL),
    "Skywork/Skywork-Reward-Llama-3.1-8B-v0.2": ("LlamaForSequenceClassification", CLASSES),
    "Skywork/Skywork-Reward-V2-Llama-3.1-8B": ("LlamaForSequenceClassification", CLASSES),
    "Skywork/Skywork-Reward-V2-Qwen3-8B": ("Qwen3ForSequenceClassification", CLASSES),
    "GAIR/ReasonEval-7B": ("ReasonEval_7B", (*BACKBONE, "score_head.weight", "score_head.bias")),
    "GAIR/ReasonEval-34B": ("ReasonEval_34B", (*BACKBONE, "score_head.weight", "score_head.bias")),
    "UW-Madison-Lee-Lab/VersaPRM": ("LlamaForCausalLM", CAUSAL),
    "UW-Madison-Lee-Lab/Llama-PRM800K": ("LlamaForCausalLM", CAUSAL),
    "dongboklee/dPRM-14B": ("Qwen2ForCausalLM", CAUSAL),
}
NAMES = [(family, name) for family in families() for name in family.checkpoints]


def facts(name: str, architecture: str | None, tensors: tuple[str, ...]) -> CheckpointFacts:
    config = {"architectures": [architecture]} if architecture else {}
    return CheckpointFacts(Path("somewhere"), name, config, dict.fromkeys(tensors, (1,)), "0")


@pytest.mark.parametrize(("family", "name"), NAMES, ids=[name for _, name in NAMES])
def test_every_published_name_finds_its_family(family: Family, name: str) -> None:
    architecture, tensors = BY_CHECKPOINT.get(name) or PUBLISHED[family.name]
    assert resolve(facts(name, architecture, tensors)) is family
    folder = facts(f"/models/{name}", architecture, tensors)
    assert name == "embedded" or resolve(folder) is family


def test_the_architecture_comes_before_the_name() -> None:
    found = explain(facts("someone/ThinkPRM-7B", "Qwen2ForPrmModel", VALUE))
    assert found.family is not None
    assert found.family.name == "skywork"
    assert found.reasons == ("architectures Qwen2ForPrmModel: skywork",)


def test_tensors_come_before_the_name() -> None:
    found = explain(facts("someone/ThinkPRM-7B", "LlamaForCausalLM", (*CAUSAL, "score_head.weight")))
    assert found.family is not None
    assert found.family.name == "reason_eval"
    assert [reason.split(" ")[0] for reason in found.reasons] == ["architectures", "tensors"]


def test_the_name_decides_among_causal_models() -> None:
    found = explain(facts("launch/ThinkPRM-1.5B", "Qwen2ForCausalLM", CAUSAL))
    assert found.family is not None
    assert found.family.name == "think_prm"
    assert found.reasons[-1] == "name launch/ThinkPRM-1.5B: think_prm"
    assert found.reasons[1] == "tensors model.embed_tokens.weight, lm_head.weight: no family"


def test_the_general_reading_takes_what_no_name_claims() -> None:
    found = explain(facts("me/my-prm", "Qwen3ForTokenClassification", CLASSES))
    assert found.family is not None
    assert found.family.name == "token_classification"
    assert found.reasons[-1] == "token_classification is the general reading of those"


@pytest.mark.parametrize("architecture", ["Qwen2ForCausalLM", "NobodyForAnything", None])
def test_an_unknown_checkpoint_lists_the_families_and_the_reasons(architecture: str | None) -> None:
    with pytest.raises(UnknownFamily) as caught:
        resolve(facts("me/my-model", architecture, CAUSAL))
    names = [family.name for family in families()]
    assert caught.value.detail["families"] == names
    message = str(caught.value)
    assert all(name in message for name in names)
    assert f"architectures {architecture or '(none)'}:" in message
    assert "tensors model.embed_tokens.weight, lm_head.weight: no family" in message
    assert "name me/my-model: no family" in message
    assert "--family" in message


def test_only_the_folders_own_name_tells_of_its_origin(tmp_path: Path) -> None:
    assert folder_name(tmp_path / "pure" / "my-checkpoint") == "my-checkpoint"
    snapshot = tmp_path / "models--PRIME-RL--EurusPRM-Stage1" / "snapshots" / ("a" * 40)
    assert folder_name(snapshot) == "PRIME-RL/EurusPRM-Stage1"
