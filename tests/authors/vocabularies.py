"""The real vocabularies of Qwen2.5, Llama 3.1 and Mistral 7B v0.1, cut down to what the comparisons write.

A cut one keeps the ids and the merges of the tokens that occur, so it gives the ids of the whole one on those texts and
fits into the repository. `python -m authors.vocabularies` (in tests/) makes them from the whole ones, which
real_tokenizers.py finds in installed packages. With STEPSCORE_WHOLE_VOCABULARIES=1 the
comparisons run on the whole ones.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

import real_tokenizers as real
import tokenizers_for_tests as made

FOLDER = Path(__file__).parents[1] / "golden" / "authors"
WHOLE = os.environ.get("STEPSCORE_WHOLE_VOCABULARIES") == "1"
NAMES: dict[str, dict[str, str]] = {
    "qwen": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": made.CHATML},
    "llama": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "chat_template": made.LLAMA3},
    "mistral": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"},
}
SPECIALS = {
    "qwen": {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645, "<extra_0>": 151651},
    "llama": {"<|begin_of_text|>": 128000, "<|end_of_text|>": 128001, "<|finetune_right_pad_id|>": 128004,
              "<|start_header_id|>": 128006, "<|end_header_id|>": 128007, "<|eot_id|>": 128009},
}  # fmt: skip
"""At the ids of Qwen2.5-Math-PRM and Llama 3.1, whichever checkpoint the vocabulary was found with."""

# What the authors encode besides texts, to find the ids that they read.
FIXED = ["+", "-", " +", " -", "+ -", " + -", "ки", " ки", "\n", "\n\n", " \n\n\n\n", " \n\n\n\n\n", "correct",
         "incorrect", "assistant", "user", "system", "<extra_0>", "Yes", "No", " Yes", " No", "x", "y",
         "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"]  # fmt: skip


@lru_cache
def spec(name: str) -> dict[str, Any]:
    """The tokenizer's JSON."""
    if not WHOLE:
        return dict(json.loads((FOLDER / f"vocabulary-{name}.json").read_text(encoding="utf-8")))
    found: dict[str, Any] = json.loads(getattr(real, {"llama": "llama3"}.get(name, name))().backend_tokenizer.to_str())
    if name in SPECIALS:
        for token in found["added_tokens"]:
            found["model"]["vocab"].pop(token["content"], None)
        found["added_tokens"] = [_special(token, number) for token, number in SPECIALS[name].items()]
    return _with_specials(found)


def _special(token: str, number: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": token, "special": True} | flags


def _with_specials(found: dict[str, Any]) -> dict[str, Any]:
    """Added tokens in the vocabulary too: their ids then hold whatever is missing below them."""
    for token in found["added_tokens"]:
        found["model"]["vocab"][token["content"]] = token["id"]
    return found


def tokenizer(name: str, *markers: str, **changes: str | None) -> PreTrainedTokenizerFast:
    """A tokenizer of one vocabulary. markers: more tokens, after all others. changes: special tokens by role."""
    found = copy.deepcopy(spec(name))
    for marker in markers:
        found["added_tokens"].append(_special(marker, 1 + max(found["model"]["vocab"].values())))
        _with_specials(found)
    roles = {role: token for role, token in (NAMES[name] | changes).items() if token is not None}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(found)), **roles)


def cut_down(whole: dict[str, Any], used: set[int]) -> dict[str, Any]:
    """Only the tokens that occur, those that they are merged from, single characters and added tokens."""
    vocabulary = whole["model"]["vocab"]
    merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in whole["model"]["merges"]]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    names = {number: token for token, number in vocabulary.items()}
    needed, pairs = {token for token in vocabulary if len(token) == 1 or token.startswith("<0x")}, set()
    for token in (names[number] for number in used):
        needed.add(token)
        for pair in _merges_of(token, ranks):
            pairs.add(pair)
            needed |= {*pair, "".join(pair)}
    needed |= {token["content"] for token in whole["added_tokens"]}
    kept = {token: number for token, number in vocabulary.items() if token in needed}
    model = whole["model"] | {"vocab": kept, "merges": [list(pair) for pair in sorted(pairs, key=ranks.__getitem__)]}
    return whole | {"model": model}


def _merges_of(token: str, ranks: dict[tuple[str, str], int]) -> list[tuple[str, str]]:
    """The merges that byte-pair encoding applies inside one token; their order does not depend on what is around it."""
    parts, applied = list(token), []
    while len(parts) > 1:
        rank, at = min((ranks.get((a, b), len(ranks)), n) for n, (a, b) in enumerate(pairwise(parts)))
        if rank == len(ranks):
            break
        applied.append((parts[at], parts[at + 1]))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return applied


def main() -> None:
    """Write the cut vocabularies; run with STEPSCORE_WHOLE_VOCABULARIES=1."""
    from authors.comparisons import COMPARISONS, written_ids

    used: dict[str, set[int]] = {name: set() for name in NAMES}
    for name in NAMES:
        used[name] |= {n for text in FIXED for n in tokenizer(name).encode(text, add_special_tokens=False)}
    for comparison in COMPARISONS:
        numbers = {number for ids in written_ids(comparison) for number in ids}
        used[comparison.vocabulary] |= numbers & set(spec(comparison.vocabulary)["model"]["vocab"].values())
    FOLDER.mkdir(exist_ok=True)
    for name, numbers in used.items():
        file = FOLDER / f"vocabulary-{name}.json"
        text = json.dumps(cut_down(spec(name), numbers), ensure_ascii=False, separators=(",", ":"))
        file.write_text(text + "\n", encoding="utf-8")
        sys.stdout.write(f"{name}: {len(numbers)} tokens, {file.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
