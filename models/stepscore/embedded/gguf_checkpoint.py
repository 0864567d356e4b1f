"""A Qwen2 GGUF file as a plain checkpoint folder: config.json, tokenizer and bf16 safetensors.

The same file gives the same bytes on every machine: weights are unpacked by gguf's numpy code, an adapter is added in
fp32 by single products and sums in a fixed order, and nothing depends on how a matrix library orders its sums.

GGUF keeps the one matrix of a tied model twice, in two precisions. The finer one is taken for both, as in Qwen's own
checkpoints of these sizes, which saves a quarter of the memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from stepscore.errors import CheckpointError

State = dict[str, torch.Tensor]
Meta = Mapping[str, Any]

LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ROOT = {"output.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
COARSE_EMBEDDING = "token_embd.weight"

# Qwen2's own expression: words with one sign before them, single digits, signs with line breaks, white space.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
FILLER = gguf.TokenType.UNUSED
SPECIAL = gguf.TokenType.CONTROL
ADDED = (gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED)


def write_checkpoint(file: Path, folder: Path, adapter: State, scale: float, config: Meta) -> None:
    """The checkpoint of a GGUF file, with an adapter merged into it, in an existing folder.

    adapter: `{name}.lora_A.weight` (r, in) and `{name}.lora_B.weight` (out, r) add scale * B A to `{name}.weight`;
    any other tensor is written as it is, instead of the file's if that has one. config: entries of config.json that
    are added or replaced. Raises CheckpointError if the file is not a Qwen2 model.
    """
    reader = gguf.GGUFReader(file)
    meta = {key: field.contents() for key, field in reader.fields.items()}
    if meta.get("general.architecture") != "qwen2":
        raise CheckpointError(f"{file} holds {meta.get('general.architecture')}, not qwen2", path=str(file))
    _write_json(folder / "config.json", config_of(meta) | dict(config))
    _write_tokenizer(folder, meta)
    state = {name: _with_adapter(name, weight, adapter, scale) for name, weight in _weights(reader)}
    save_file(state | _whole_tensors(adapter), folder / "model.safetensors", metadata={"format": "pt"})


def config_of(meta: Meta) -> dict[str, Any]:
    """config.json, from what the file says of itself."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "transformers_version": "4.44.0",
        "dtype": "bfloat16",
        "hidden_act": "silu",
        "hidden_size": meta["qwen2.embedding_length"],
        "intermediate_size": meta["qwen2.feed_forward_length"],
        "num_hidden_layers": meta["qwen2.block_count"],
        "num_attention_heads": meta["qwen2.attention.head_count"],
        "num_key_value_heads": meta["qwen2.attention.head_count_kv"],
        "max_position_embeddings": meta["qwen2.context_length"],
        "rms_norm_eps": float(f"{meta['qwen2.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": float(meta["qwen2.rope.freq_base"]),
        "tie_word_embeddings": True,
        "vocab_size": len(meta["tokenizer.ggml.tokens"]),
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "pad_token_id": meta["tokenizer.ggml.padding_token_id"],
    }


def _weights(reader: gguf.GGUFReader) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for tensor in reader.tensors:
        if tensor.name != COARSE_EMBEDDING:
            yield _name(tensor.name), gguf.dequantize(tensor.data, tensor.tensor_type)


def _name(name: str) -> str:
    """The tensor's name in Qwen2ForCausalLM."""
    if name in ROOT:
        return ROOT[name]
    block, number, part, kind = name.split(".")
    if block != "blk" or part not in LAYER:
        raise CheckpointError(f"the file holds a tensor that Qwen2 does not have: {name}", tensor=name)
    return f"model.layers.{number}.{LAYER[part]}.{kind}"


def _with_adapter(name: str, weight: NDArray[np.float32], adapter: State, scale: float) -> torch.Tensor:
    base = name.removesuffix(".weight")
    down, up = adapter.get(f"{base}.lora_A.weight"), adapter.get(f"{base}.lora_B.weight")
    if down is not None and up is not None:
        weight = add_product(weight, up.float().numpy() * np.float32(scale), down.float().numpy())
    return torch.from_numpy(np.array(weight, dtype=np.float32)).to(torch.bfloat16)


def add_product(weight: NDArray[np.float32], up: NDArray[np.float32], down: NDArray[np.float32]) -> NDArray[np.float32]:
    """weight (out, in) + up (out, r) @ down (r, in), rank by rank.

    A matrix product would order its sums as the machine likes.
    """
    total = weight.astype(np.float32, copy=True)
    for rank in range(up.shape[1]):
        total += up[:, rank, None] * down[None, rank]
    return total


def _whole_tensors(adapter: State) -> State:
    return {key: tensor.contiguous() for key, tensor in adapter.items() if ".lora_" not in key}


def _write_tokenizer(folder: Path, meta: Meta) -> None:
    """tokenizer.json, its config and its chat template, without the fillers that pad the matrix."""
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    tokenizer_of(tokens, kinds, meta["tokenizer.ggml.merges"]).save(str(folder / "tokenizer.json"))
    names = {
        "tokenizer_class": "Qwen2Tokenizer",
        "model_max_length": meta["qwen2.context_length"],
        "eos_token": tokens[meta["tokenizer.ggml.eos_token_id"]],
        "pad_token": tokens[meta["tokenizer.ggml.padding_token_id"]],
        "unk_token": None,
        "bos_token": None,
    }
    _write_json(folder / "tokenizer_config.json", names)
    (folder / "chat_template.jinja").write_text(meta["tokenizer.chat_template"], encoding="utf-8")


def tokenizer_of(tokens: list[str], kinds: list[int], merges: list[str]) -> Tokenizer:
    """Qwen2's tokenizer. kinds: each token's `gguf.TokenType`; fillers are left out, so ids stay what they are."""
    vocabulary = {token: index for index, token in enumerate(tokens) if kinds[index] != FILLER}
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(
        [
            AddedToken(token, special=kind == SPECIAL, normalized=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind in ADDED
        ]
    )
    return tokenizer


def _write_json(file: Path, content: Meta) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
