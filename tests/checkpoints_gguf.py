"""A tiny GGUF file of Qwen2, and the source from which it is prepared as the checkpoint that ships."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

import tokenizers_for_tests as tokenizers
from stepscore.embedded.prepare import GGUF
from stepscore.embedded.sources import GgufSource

WIDTH, INNER, LAYERS, HEADS, KEY_HEADS = 64, 96, 2, 4, 2


Blocks = tuple[gguf.GGMLQuantizationType, NDArray[np.uint8]]


def write_gguf(
    file: Path, architecture: str = "qwen2", stored: Mapping[str, Blocks] | None = None, without: Collection[str] = ()
) -> None:
    """Random weights in two precisions, and the tests' own vocabulary with three fillers behind it.

    stored: weights whose bytes are given. without: weights that are left out.
    """
    inner = tokenizers.qwen()
    vocabulary = sorted(inner.get_vocab(), key=inner.get_vocab().__getitem__)
    tokens = [*vocabulary, *(f"[PAD{len(vocabulary) + number}]" for number in range(3))]
    special = set(inner.all_special_tokens) | set(inner.get_added_vocab())
    kinds = [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in vocabulary]
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_token_list(tokens)
    writer.add_token_types([*kinds, *[gguf.TokenType.UNUSED] * 3])
    writer.add_token_merges(merges_of(inner))
    writer.add_eos_token_id(inner.eos_token_id)
    writer.add_pad_token_id(inner.pad_token_id)
    writer.add_chat_template(tokenizers.CHATML)
    for name, shape in shapes(len(tokens)).items():
        if name in without:
            continue
        if stored and name in stored:
            writer.add_tensor(name, stored[name][1], raw_dtype=stored[name][0])
            continue
        centre = 1.0 if "norm" in name else 0.0
        weight = np.random.default_rng(sum(name.encode())).normal(centre, 0.25, shape).astype(np.float32)
        quantised = gguf.quants.quantize(weight, gguf.GGMLQuantizationType.Q8_0) if len(shape) == 2 else weight
        writer.add_tensor(name, quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0 if len(shape) == 2 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def merges_of(inner: PreTrainedTokenizerFast) -> list[str]:
    merges = json.loads(inner.backend_tokenizer.to_str())["model"]["merges"]
    return [" ".join(pair) for pair in merges]


def shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    keys = WIDTH // HEADS * KEY_HEADS
    layer = {
        "attn_norm.weight": (WIDTH,),
        "attn_q.weight": (WIDTH, WIDTH),
        "attn_q.bias": (WIDTH,),
        "attn_k.weight": (keys, WIDTH),
        "attn_k.bias": (keys,),
        "attn_v.weight": (keys, WIDTH),
        "attn_v.bias": (keys,),
        "attn_output.weight": (WIDTH, WIDTH),
        "ffn_norm.weight": (WIDTH,),
        "ffn_gate.weight": (INNER, WIDTH),
        "ffn_up.weight": (INNER, WIDTH),
        "ffn_down.weight": (WIDTH, INNER),
    }
    root = {
        "output.weight": (vocabulary, WIDTH),
        "token_embd.weight": (vocabulary, WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    return root | {f"blk.{number}.{name}": shape for number in range(LAYERS) for name, shape in layer.items()}


def tiny_source(cache: Path) -> GgufSource:
    """A base that lies in the cache already, so that nothing is downloaded."""
    file = cache / GGUF / "tiny.gguf"
    file.parent.mkdir(parents=True)
    write_gguf(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return GgufSource("tiny", "nobody/tiny", "main", file.name, file.stat().st_size, digest, ())
