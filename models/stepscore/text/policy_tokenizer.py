"""A policy's own tokenizer: which characters of a text each of its tokens holds.

A policy samples tokens one by one, so its ids need not be those that the tokenizer gives for the text. So ids are
located by the bytes that each of them writes, never by encoding the text again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from stepscore.errors import TokensMismatch
from stepscore.text.tokenizer_files import WORD_START, open_tokenizer
from stepscore.types import Span

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_VISIBLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_HIDDEN = [byte for byte in range(256) if byte not in _VISIBLE]
_BYTE_OF_SIGN = {chr(byte): byte for byte in _VISIBLE} | {chr(256 + place): byte for place, byte in enumerate(_HIDDEN)}
"""What byte-level BPE writes for each byte (openai/gpt-2, src/encoder.py, bytes_to_unicode)."""


class PolicyTokenizer:
    """Safe from any thread."""

    def __init__(self, inner: PreTrainedTokenizerFast) -> None:
        self._inner = inner
        self._backend = inner.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._special = frozenset(inner.all_special_ids)
        self._added = {token: text for text, token in inner.get_added_vocab().items()}
        self._byte_level = "ByteLevel" in _types(json.loads(self._backend.to_str())["decoder"])

    @classmethod
    def open(cls, folder: Path) -> PolicyTokenizer:
        """The tokenizer in a folder. Raises CheckpointError if there is none, it is damaged or it loses text."""
        return cls(open_tokenizer(folder))

    def encode(self, text: str) -> tuple[list[int], list[Span]]:
        """The ids of the text alone, special tokens in it read as such, and the characters of each."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def locate(self, ids: Sequence[int], text: str) -> list[Span]:
        """The characters [start, end) of the text that each id writes.

        A special token that is not in the text (an end token) has an empty span. A character whose bytes several
        tokens write belongs to each of them. Raises TokensMismatch if the ids do not write the text (detail: token).
        """
        written, spans, at = text.encode(), list[Span](), 0
        characters = _character_of_byte(text)
        for place, token in enumerate(ids):
            piece = self._piece(token, place, opens=at == 0 and not text.startswith(" "))
            if written.startswith(piece, at):
                spans.append((characters[at], characters[at + len(piece) - 1] + 1) if piece else (characters[at],) * 2)
                at += len(piece)
            elif token in self._special:
                spans.append((characters[at], characters[at]))
            else:
                _refuse(place, f"id {token} does not write what the text has at character {characters[at]}")
        if at < len(written):
            _refuse(len(ids), f"the ids write {characters[at]} of the text's {len(text)} characters")
        return spans

    def _piece(self, token: int, place: int, *, opens: bool) -> bytes:
        """The bytes that a token writes. opens: it is the first, before which sentencepiece writes no space."""
        sign: Any = self._inner.convert_ids_to_tokens(token)
        if sign is None:
            _refuse(place, f"the tokenizer has no id {token}")
        byte = None if self._byte_level else _BYTE.fullmatch(sign)
        if byte:
            return bytes([int(byte[1], 16)])
        if token in self._added:
            return self._added[token].encode()
        if self._byte_level:
            return bytes(_BYTE_OF_SIGN[each] for each in sign)
        text: str = sign.replace(WORD_START, " ")
        return (text.removeprefix(" ") if opens else text).encode()


def _character_of_byte(text: str) -> list[int]:
    """For each byte of the text in UTF-8, and for its end, the index of its character."""
    places = [place for place, character in enumerate(text) for _ in character.encode()]
    return [*places, len(text)]


def _types(decoder: dict[str, Any] | None) -> set[str]:
    parts = [] if decoder is None else decoder.get("decoders", [decoder])
    return {part["type"] for part in parts}


def _refuse(token: int, message: str) -> None:
    raise TokensMismatch(f"token {token}: {message}; send the ids that wrote this very text", token=token)
