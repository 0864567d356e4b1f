"""A Qwen2 GGUF file as a plain checkpoint folder: config.json, tokenizer and bf16 safetensors.

The same file gives the same bytes on every machine: weights are unpacked by gguf's numpy code, adapters are added in
fp32 by single products and sums in a fixed order, and nothing depends on how a matrix library orders its sums.

GGUF keeps the one matrix of a tied model twice, in two precisions. The finer one is taken for both, as in Qwen's own
checkpoints of these sizes, which saves a quarter of the memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
EMBEDDING = "model.embed_tokens.weight"
ROWS = "model.embed_tokens.rows"
"""In what was trained: the embeddings of the tokens that are new, (n, D)."""
ROOT = {"output.weight": EMBEDDING, "token_embd.weight": EMBEDDING, "output_norm.weight": "model.norm.weight"}
FINE_EMBEDDING, COARSE_EMBEDDING = "output.weight", "token_embd.weight"
BIASED = ("attn_q", "attn_k", "attn_v")

# Qwen2's own expression: words with one sign before them, single digits, signs with line breaks, white space.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
FILLER = gguf.TokenType.UNUSED
SPECIAL = gguf.TokenType.CONTROL
ADDED = (gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED)


@dataclass(frozen=True, slots=True)
class TrainedPart:
    """What one run of training changed in the checkpoint that it began from.

    state: `{name}.lora_A.weight` (r, in) and `{name}.lora_B.weight` (out, r) add scale * B A to `{name}.weight`; `ROWS`
    are the embeddings of `tokens`; any other tensor is written as it is, instead of the file's if that has one.
    config: entries of config.json that are added or replaced. tokens: new special tokens and their ids, as in `ROWS`.
    """

    state: State = field(default_factory=dict)
    scale: float = 1.0
    config: Meta = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)


def write_checkpoint(file: Path, folder: Path, parts: Sequence[TrainedPart]) -> None:
    """The checkpoint of a GGUF file, with what was trained on it, in an existing folder.

    parts: each began from the checkpoint of those before it. Raises CheckpointError if the file is not a whole Qwen2
    model, a part does not belong to it, or a new token comes to another id than the one that it was trained with.
    """
    reader = gguf.GGUFReader(file)
    meta = {key: field.contents() for key, field in reader.fields.items()}
    if meta.get("general.architecture") != "qwen2":
        raise CheckpointError(f"{file} holds {meta.get('general.architecture')}, not qwen2", path=str(file))
    shapes = _shapes(reader, meta["qwen2.block_count"])
    for part in parts:
        _check_part(part, shapes)
    config = config_of(meta)
    tokens: dict[str, int] = {}
    for part in parts:
        config |= part.config
        tokens |= part.tokens
    _write_json(folder / "config.json", config)
    _write_tokenizer(folder, meta, tokens)
    state = {name: _merge(name, weight, parts) for name, weight in _weights(reader)}
    for part in parts:
        state |= _whole_tensors(part)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


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


def _tensors(reader: gguf.GGUFReader) -> Iterator[tuple[str, gguf.ReaderTensor]]:
    """By name in Qwen2ForCausalLM. The embedding is `output.weight` if the file has it."""
    tied_once = all(tensor.name != FINE_EMBEDDING for tensor in reader.tensors)
    for tensor in reader.tensors:
        if tensor.name != COARSE_EMBEDDING or tied_once:
            yield _name(tensor.name), tensor


def _weights(reader: gguf.GGUFReader) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for name, tensor in _tensors(reader):
        yield name, gguf.dequantize(tensor.data, tensor.tensor_type)


def _shapes(reader: gguf.GGUFReader, layers: int) -> dict[str, tuple[int, ...]]:
    """Of every weight, as torch has it. Raises CheckpointError if one is missing: a model would make it up."""
    shapes = {name: tuple(int(size) for size in reversed(tensor.shape)) for name, tensor in _tensors(reader)}
    kinds = [f"{part}.weight" for part in LAYER] + [f"{part}.bias" for part in BIASED]
    wanted = [*ROOT.values(), *(_name(f"blk.{layer}.{kind}") for layer in range(layers) for kind in kinds)]
    if missing := sorted(set(wanted) - shapes.keys()):
        raise CheckpointError(
            f"the file lacks {len(missing)} weights of Qwen2, the first is {missing[0]}", missing=missing
        )
    return shapes


def _check_part(part: TrainedPart, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises CheckpointError if something of it would be left out, or is for a model of other shapes."""
    for key, tensor in part.state.items():
        base, mark, half = key.removesuffix(".weight").rpartition(".lora_")
        if not mark:
            continue
        shape = shapes.get(f"{base}.weight", (0, 0))
        fits = tensor.shape[1] == shape[1] if half == "A" else tensor.shape[0] == shape[0]
        other = f"{base}.lora_{'B' if half == 'A' else 'A'}.weight"
        if half not in ("A", "B") or not fits or other not in part.state:
            raise CheckpointError(f"{key} {tuple(tensor.shape)} is not an adapter of this base", tensor=key)
    rows = len(part.state[ROWS]) if ROWS in part.state else 0
    if rows != len(part.tokens):
        raise CheckpointError(f"{rows} embeddings are there for {len(part.tokens)} new tokens", tensor=ROWS)


def _name(name: str) -> str:
    """The tensor's name in Qwen2ForCausalLM."""
    if name in ROOT:
        return ROOT[name]
    block, number, part, kind = name.split(".")
    if block != "blk" or part not in LAYER:
        raise CheckpointError(f"the file holds a tensor that Qwen2 does not have: {name}", tensor=name)
    return f"model.layers.{number}.{LAYER[part]}.{kind}"


def _merge(name: str, weight: NDArray[np.float32], parts: Sequence[TrainedPart]) -> torch.Tensor:
    """The weight in bfloat16, to which it is rounded after each part: the next one began from such a checkpoint."""
    for part in parts:
        weight = _to_bfloat16(_with_part(name, weight, part)).float().numpy()
    return _to_bfloat16(weight)


def _to_bfloat16(weight: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.array(weight, dtype=np.float32)).to(torch.bfloat16)


def _with_part(name: str, weight: NDArray[np.float32], part: TrainedPart) -> NDArray[np.float32]:
    base = name.removesuffix(".weight")
    down, up = part.state.get(f"{base}.lora_A.weight"), part.state.get(f"{base}.lora_B.weight")
    if down is not None and up is not None:
        weight = add_product(weight, up.float().numpy() * np.float32(part.scale), down.float().numpy())
    if name == EMBEDDING and part.tokens:
        weight = np.array(weight, dtype=np.float32)
        weight[list(part.tokens.values())] = part.state[ROWS].float().numpy()
    return weight


def add_product(weight: NDArray[np.float32], up: NDArray[np.float32], down: NDArray[np.float32]) -> NDArray[np.float32]:
    """weight (out, in) + up (out, r) @ down (r, in), rank by rank.

    A matrix product would order its sums as the machine likes.
    """
    total = weight.astype(np.float32, copy=True)
    for rank in range(up.shape[1]):
        total += up[:, rank, None] * down[None, rank]
    return total


def _whole_tensors(part: TrainedPart) -> State:
    return {key: tensor.contiguous() for key, tensor in part.state.items() if ".lora_" not in key and key != ROWS}


def _write_tokenizer(folder: Path, meta: Meta, new: Mapping[str, int]) -> None:
    """tokenizer.json, its config and its chat template, without the fillers that pad the matrix. new: as in parts."""
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    tokenizer = tokenizer_of(tokens, kinds, meta["tokenizer.ggml.merges"])
    _add_tokens(tokenizer, new)
    tokenizer.save(str(folder / "tokenizer.json"))
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


def _add_tokens(tokenizer: Tokenizer, new: Mapping[str, int]) -> None:
    """New special tokens, in the place of the first fillers. Raises CheckpointError if they come to other ids."""
    for token, wanted in new.items():
        tokenizer.add_tokens([AddedToken(token, special=True, normalized=False)])
        found = tokenizer.token_to_id(token)
        if found != wanted:
            raise CheckpointError(f"{token} has the id {found} here, and was trained as {wanted}", token=token)


def _write_json(file: Path, content: Meta) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
