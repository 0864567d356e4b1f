"""Tiny checkpoints of value heads, tagged causal models, ReasonEval, ReasonFlux and ensembles."""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

import tokenizers_for_tests as tokenizers
from checkpoints import HIDDEN, State, backbone_state, decoder_config, linear, save, vocabulary_head

ARCHITECTURES = {"qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}
TOKENIZERS = {"qwen2": tokenizers.qwen, "llama": tokenizers.llama3, "mistral": tokenizers.mistral}


def changed(tokenizer: PreTrainedTokenizerFast, **names: str) -> PreTrainedTokenizerFast:
    """A copy whose special tokens have other roles."""
    other = copy.deepcopy(tokenizer)
    for name, token in names.items():
        setattr(other, name, token)
    return other


@lru_cache
def legacy_mistral() -> PreTrainedTokenizerFast:
    """Mistral 7B v0.1's own kind: a normaliser writes the sign of a word's start, before every stretch of text."""
    inner = tokenizers.mistral()
    spec = json.loads(inner.backend_tokenizer.to_str())
    prepend, replace = (
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    )
    spec |= {"normalizer": {"type": "Sequence", "normalizers": [prepend, replace]}, "pre_tokenizer": None}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
    )


def math_shepherd(folder: Path) -> Path:
    """The published one's kinds of model and tokenizer."""
    return causal(folder, "mistral", seed=7, tokenizer=legacy_mistral())


def causal(
    folder: Path, kind: str, *, seed: int = 0, tokenizer: PreTrainedTokenizerFast | None = None, **changes: Any
) -> Path:
    """`*ForCausalLM`: `model.*` and `lm_head`, which the config may tie."""
    tokenizer = tokenizer or TOKENIZERS[kind]()
    config = decoder_config(kind, tokenizer, **changes)
    head = {} if config.tie_word_embeddings else vocabulary_head(config)
    return save(folder, config, backbone_state(config, seed) | head, tokenizer, ARCHITECTURES[kind])


def skywork(folder: Path, *, tie_word_embeddings: bool = True) -> Path:
    """Qwen2ForPrmModel: the wrapped causal model's own keys and `v_head.summary`, as TRL's value-head wrapper saves."""
    tokenizer = changed(tokenizers.qwen(), bos_token="<|endoftext|>")
    config = decoder_config("qwen2", tokenizer, tie_word_embeddings=tie_word_embeddings)
    state = backbone_state(config) | vocabulary_head(config) | linear("v_head.summary", 1)
    if tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
    return save(folder, config, state, tokenizer, "Qwen2ForPrmModel")


def value_head(
    folder: Path, kind: str = "qwen2", head: str = "v_head.summary", marker: str = "", second: str = ""
) -> Path:
    """A causal model with one more linear layer of one output, under any of the names in use, or two of them."""
    tokenizer = TOKENIZERS[kind](*([marker] if marker else []))
    config = decoder_config(kind, tokenizer)
    state = backbone_state(config) | vocabulary_head(config) | linear(head, 1)
    state |= linear(second, 1) if second else {}
    return save(folder, config, state, tokenizer, ARCHITECTURES[kind])


def bare_value_head(folder: Path) -> Path:
    """A notebook's own module: a decoder without a causal head, its keys without `model.`, and `score`, no bias."""
    tokenizer = tokenizers.qwen()
    config = decoder_config("qwen2", tokenizer)
    backbone = {key.removeprefix("model."): tensor for key, tensor in backbone_state(config).items()}
    return save(folder, config, backbone | linear("score", 1, bias=False), tokenizer, "Qwen2Model")


def reasonflux(folder: Path) -> Path:
    """Qwen2ForProcessRewardModel, as Qwen2.5-Math-PRM."""
    tokenizer = tokenizers.qwen("<extra_0>")
    config = decoder_config("qwen2", tokenizer)
    state = backbone_state(config) | linear("score.0", HIDDEN) | linear("score.2", 2)
    return save(folder, config, state, tokenizer, "Qwen2ForProcessRewardModel")


def reason_eval_7b(folder: Path, *, legacy: bool = False) -> Path:
    """ReasonEval_7B: a Mistral with `score_head` of three classes; the padding token is the BOS."""
    tokenizer = changed(legacy_mistral() if legacy else tokenizers.mistral(), pad_token="<s>")
    config = decoder_config("mistral", tokenizer)
    extra = {"score_dimension": 3, "use_bias": True}
    state = backbone_state(config) | linear("score_head", 3)
    return save(folder, config, state, tokenizer, "ReasonEval_7B", extra_config=extra)


def reason_eval_34b(folder: Path, *, legacy: bool = False) -> Path:
    """ReasonEval_34B: a Llama with `score_head`; the padding token is not the BOS.

    legacy: a sentencepiece vocabulary of the class LlamaTokenizerFast, else byte-level without a BOS.
    """
    inner = legacy_mistral() if legacy else tokenizers.qwen()
    tokenizer = changed(inner, pad_token="</s>" if legacy else "<|endoftext|>")
    config = decoder_config("llama", tokenizer)
    extra = {"score_dim": 3, "bias": False}
    state = backbone_state(config) | linear("score_head", 3, bias=False)
    saved = save(folder, config, state, tokenizer, "ReasonEval_34B", extra_config=extra)
    return of_class(saved, "LlamaTokenizerFast") if legacy else saved


def of_class(folder: Path, name: str) -> Path:
    """The same checkpoint, whose tokenizer_config.json names the tokenizer's class as published ones do."""
    file = folder / "tokenizer_config.json"
    found = json.loads(file.read_text()) | {"tokenizer_class": name}
    found.pop("extra_special_tokens", None)
    file.write_text(json.dumps(found, indent=1))
    return folder


def pqm(folder: Path) -> Path:
    """TRL's value-head wrapper over a Llama with one added token, `[PRM]`, which is not flagged as special."""
    tokenizer = copy.deepcopy(tokenizers.llama3())
    tokenizer.add_tokens(["[PRM]"])
    config = decoder_config("llama", tokenizer)
    state = backbone_state(config) | vocabulary_head(config) | linear("v_head.summary", 1)
    return save(folder, config, state, tokenizer, "LlamaForCausalLM")


def ensemble(folder: Path, members: int = 5, inner: int = 16, **changes: Any) -> Path:
    """Qwen2ForEnsemblePRM: `score.model` and the frozen copy `score.reg_model`, which has other numbers here."""
    tokenizer = tokenizers.qwen("<extra_0>")
    config = decoder_config("qwen2", tokenizer, **changes)
    head = ensemble_members("score.model", members, inner, seed=3) | ensemble_members(
        "score.reg_model", members, inner, seed=4
    )
    extra = {"num_ensemble": members, "rr_token": "<extra_0>"}
    state = backbone_state(config) | head
    return save(folder, config, state, tokenizer, "Qwen2ForEnsemblePRM", extra_config=extra)


def ensemble_members(prefix: str, members: int, inner: int, seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"nn1": (HIDDEN, inner), "nn2": (inner, inner), "nn_out": (inner, 1)}
    state = {}
    for name, (inputs, outputs) in sizes.items():
        state[f"{prefix}.{name}.weight"] = torch.randn(members, inputs, outputs, generator=generator) * 0.3
        state[f"{prefix}.{name}.bias"] = torch.randn(members, outputs, generator=generator) * 0.3
    return state
