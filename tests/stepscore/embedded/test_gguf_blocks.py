"""The kinds of blocks in the base's file, against decoders written from ggml's structures, one number at a time.

Source: ggml-org/llama.cpp, `ggml/src/ggml-common.h` and `ggml-quants.c`. All arithmetic is float32, in ggml's order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file

from checkpoints_gguf import write_gguf
from stepscore.config import cache_folder
from stepscore.embedded.gguf_checkpoint import write_checkpoint
from stepscore.embedded.prepare import GGUF
from stepscore.embedded.sources import CODER_05B

Bytes = NDArray[np.uint8]


def half(block: Bytes, at: int) -> np.float32:
    return np.float32(block[at : at + 2].view(np.float16)[0])


def q8_0(block: Bytes) -> Iterator[np.float32]:
    for number in block[2:34].view(np.int8):
        yield np.float32(number) * half(block, 0)


def q5_0(block: Bytes) -> Iterator[np.float32]:
    high = int(block[2:6].view(np.uint32)[0])
    low = [int(byte) & 15 for byte in block[6:22]] + [int(byte) >> 4 for byte in block[6:22]]
    for place, number in enumerate(low):
        yield np.float32((number | (high >> place & 1) << 4) - 16) * half(block, 0)


def q4_k(block: Bytes) -> Iterator[np.float32]:
    packed = [int(byte) for byte in block[4:16]]
    for group in range(8):
        if group < 4:
            scale, least = packed[group] & 63, packed[group + 4] & 63
        else:
            scale = packed[group + 4] & 15 | packed[group - 4] >> 6 << 4
            least = packed[group + 4] >> 4 | packed[group] >> 6 << 4
        for byte in block[16 + group // 2 * 32 :][:32]:
            number = int(byte) >> 4 if group % 2 else int(byte) & 15
            yield half(block, 0) * np.float32(scale) * np.float32(number) - half(block, 2) * np.float32(least)


def q6_k(block: Bytes) -> Iterator[np.float32]:
    scales = block[192:208].view(np.int8)
    for place in range(256):
        part, quarter, column = place // 128, place % 128 // 32, place % 32
        byte = int(block[part * 64 + quarter % 2 * 32 + column])
        low = byte >> 4 if quarter > 1 else byte & 15
        high = int(block[128 + part * 32 + column]) >> 2 * quarter & 3
        yield half(block, 208) * np.float32(scales[place // 16]) * np.float32((low | high << 4) - 32)


DECODERS: dict[Kind, Callable[[Bytes], Iterator[np.float32]]] = {
    Kind.Q8_0: q8_0,
    Kind.Q5_0: q5_0,
    Kind.Q4_K: q4_k,
    Kind.Q6_K: q6_k,
}
SCALES = {Kind.Q8_0: (0,), Kind.Q5_0: (0,), Kind.Q4_K: (0, 2), Kind.Q6_K: (208,)}
"""Where a block has halves, which are drawn among finite numbers; all its other bytes may be anything."""


def blocks(kind: Kind, rows: int, seed: int) -> Bytes:
    """(rows, bytes of 256 numbers)"""
    rng = np.random.default_rng(seed)
    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    found = rng.integers(0, 256, (rows, 256 // numbers, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scales = rng.normal(0, rng.choice([1e-6, 1e-2, 10.0]), found.shape[:2]).astype(np.float16)
        found[..., at : at + 2] = scales[..., None].view(np.uint8)
    return found.reshape(rows, -1)


def decoded(kind: Kind, stored: Bytes) -> NDArray[np.float32]:
    size = gguf.GGML_QUANT_SIZES[kind][1]
    rows = [[number for block in row.reshape(-1, size) for number in DECODERS[kind](block)] for row in stored]
    return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize("kind", DECODERS, ids=lambda kind: kind.name)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_random_blocks_are_unpacked_to_the_same_bits(kind: Kind, seed: int) -> None:
    stored = blocks(kind, rows=2, seed=seed)
    assert np.array_equal(gguf.dequantize(stored, kind).view(np.uint32), decoded(kind, stored).view(np.uint32))


def test_every_kind_of_block_comes_through_to_the_checkpoint(tmp_path: Path) -> None:
    names = {
        Kind.Q8_0: "blk.0.attn_v",
        Kind.Q5_0: "blk.0.attn_q",
        Kind.Q4_K: "blk.1.ffn_down",
        Kind.Q6_K: "blk.0.ffn_down",
    }
    stored = {f"{name}.weight": (kind, blocks(kind, 3, seed=1)) for kind, name in names.items()}
    write_gguf(tmp_path / "tiny.gguf", stored=stored)
    write_checkpoint(tmp_path / "tiny.gguf", tmp_path, [])
    found = load_file(tmp_path / "model.safetensors")
    for ours, theirs in (
        ("layers.0.self_attn.v_proj", "blk.0.attn_v"),
        ("layers.0.self_attn.q_proj", "blk.0.attn_q"),
        ("layers.1.mlp.down_proj", "blk.1.ffn_down"),
        ("layers.0.mlp.down_proj", "blk.0.ffn_down"),
    ):
        wanted = torch.from_numpy(decoded(*stored[f"{theirs}.weight"])).bfloat16()
        assert torch.equal(found[f"model.{ours}.weight"], wanted)


def test_the_base_s_file_has_no_other_kind_of_block() -> None:
    file = cache_folder() / GGUF / CODER_05B.file
    if not file.is_file():
        pytest.skip(f"{file} is not in the cache")
    kinds = {tensor.tensor_type for tensor in gguf.GGUFReader(file).tensors}
    assert kinds == {*DECODERS, Kind.F32}
