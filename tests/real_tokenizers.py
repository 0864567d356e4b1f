"""The vocabularies of Qwen2.5, Llama 3 and Mistral 7B v0.1, made into fast tokenizers.

Qwen2.5's is that of the embedded checkpoint's base, if it is in the cache. The others lie in llama-models and
mistral-common, of which only data files are read: `pip install --no-deps llama-models mistral-common`. Neither is a
dependency; without them the tests that need real vocabularies are skipped.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import embedded_case
import tokenizers_for_tests as made
from stepscore.embedded.prepare import prepare


def _data(package: str, file: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package}, which carries a real vocabulary, is not installed")
    return Path(found.submodule_search_locations[0]) / file


def _byte_signs() -> dict[int, str]:
    """The sign that byte-level BPE writes for each byte."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


def _halves(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """The two tokens of lower rank that the byte-pair merges make this token of; more where they cannot make it."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        rank, at = min((ranks.get(a + b, len(ranks)), n) for n, (a, b) in enumerate(pairwise(parts)))
        if rank >= ranks[token]:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _byte_level(path: Path, split: str, specials: list[str], normalizer: bool) -> Tokenizer:
    lines = (line.split() for line in path.read_bytes().splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    signs = _byte_signs()
    written = {token: "".join(signs[byte] for byte in token) for token in ranks}
    halves = [_halves(token, ranks) for token in sorted(ranks, key=ranks.__getitem__)]
    merges = [(written[pair[0]], written[pair[1]]) for pair in halves if len(pair) == 2]
    vocabulary = {written[token]: rank for token, rank in ranks.items()}
    # Llama 3 holds tokens that no merges lead to; there, as in its own file, a whole word is looked up first.
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=not normalizer))
    if normalizer:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    return tokenizer


@lru_cache
def qwen() -> PreTrainedTokenizerFast:
    """Qwen2.5's, with the marker of its process reward models and the template of the tests."""
    if why := embedded_case.missing():
        pytest.skip(why)
    tokenizer = AutoTokenizer.from_pretrained(prepare())
    tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_0>"]})
    tokenizer.chat_template = made.CHATML
    return tokenizer


@lru_cache
def llama3() -> PreTrainedTokenizerFast:
    path = _data("llama_models", "llama3/tokenizer.model")
    tokenizer = _byte_level(path, made.GPT4_SPLIT, ["<|begin_of_text|>", "<|end_of_text|>"], normalizer=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 128000)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"
    )


@lru_cache
def mistral() -> PreTrainedTokenizerFast:
    sentencepiece = pytest.importorskip("sentencepiece")
    path = _data("mistral_common", "data/tokenizer.model.v1")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    vocabulary = {pieces.id_to_piece(n): n for n in range(pieces.get_piece_size())}
    halves = [
        (-pieces.get_score(n), n, piece[:at], piece[at:])
        for piece, n in vocabulary.items()
        for at in range(1, len(piece))
    ]
    merges = [(a, b) for _, _, a, b in sorted(halves) if a in vocabulary and b in vocabulary]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<s>"
    )
