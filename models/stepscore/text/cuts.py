r"""Where a text may be cut so that its parts, tokenised one by one, give the ids of the whole.

A step that is sent again then costs no tokenisation, and prefixes that grow step by step are not tokenised from their
beginning each time. It is exact for the tokenizers named here; any other is given whole texts.

- Byte-level BPE merges inside the words that a pattern finds from left to right, without looking back. With the
  patterns of GPT-4, Llama 3 and Qwen a word that holds line breaks ends with them, and what follows decides nothing but
  whether white space continues: a cut between a line break and a visible character lies between two words either way.
  GPT-2's pattern (SmolLM2) takes white space apart by what follows it, but ends every word before a line break.
- Metaspace BPE (Llama 2, Mistral) merges over the whole text; if no piece of the vocabulary holds a line break,
  nothing can merge across one.

Composition (NFC) never joins anything to a line break. Added tokens must not hold one, nor swallow white space.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

AFTER_BREAK = re.compile(r"(?<=\n)(?=\S)")
BEFORE_BREAK = re.compile(r"(?<=\S)(?=\n)")
NEVER = re.compile(r"(?!)")

GPT4_WORDS = re.compile(
    re.escape(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}")
    + r"(?:\{1,3\})?"
    + re.escape(r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
)
BREAK = "<0x0A>"

Spec = Mapping[str, Any]


def exact_cuts(spec: Spec) -> re.Pattern[str]:
    """Where texts may be cut (matches of length 0). spec: a tokenizer's JSON."""
    if not all(map(_harmless, spec["added_tokens"])) or spec["model"].get("dropout"):
        return NEVER
    steps = _steps(spec["pre_tokenizer"])
    kinds = [step["type"] for step in steps]
    if kinds == ["Metaspace"]:
        return AFTER_BREAK if spec["normalizer"] is None and _apart(steps[0], spec["model"]) else NEVER
    if _steps(spec["normalizer"]) not in ([], [{"type": "NFC"}]) or "ByteLevel" not in kinds:
        return NEVER
    return _byte_level(steps)


def _harmless(token: Spec) -> bool:
    swallows = token["lstrip"] or token["rstrip"] or token["single_word"]
    return not swallows and "\n" not in token["content"]


def _steps(part: Spec | None) -> list[Spec]:
    if part is None:
        return []
    return list(part.get("pretokenizers") or part.get("normalizers") or [part])


def _apart(metaspace: Spec, model: Spec) -> bool:
    """Whether line breaks are apart from everything in this vocabulary."""
    if model["type"] != "BPE" or not model["byte_fallback"] or metaspace["split"]:
        return False
    pieces = model["vocab"]
    holds = any("\n" in piece or (BREAK in piece and piece != BREAK) for piece in pieces)
    return BREAK in pieces and not holds and metaspace["prepend_scheme"] != "always"


def _byte_level(steps: list[Spec]) -> re.Pattern[str]:
    *before, last = steps
    if last["type"] != "ByteLevel" or last["add_prefix_space"]:
        return NEVER
    if last["use_regex"]:
        return BEFORE_BREAK if all(step["type"] == "Digits" for step in before) else NEVER
    return AFTER_BREAK if len(before) == 1 and _gpt4(before[0]) else NEVER


def _gpt4(step: Spec) -> bool:
    pattern = step.get("pattern", {}).get("Regex", "") if step["type"] == "Split" else ""
    return bool(GPT4_WORDS.fullmatch(pattern)) and step["behavior"] == "Isolated" and not step["invert"]
