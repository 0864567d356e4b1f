"""Text to token ids with a wall between template and user text.

User text is encoded with special tokens off: a marker that somebody types is text. Template text is split at its
special tokens first, and the plain stretches between them (user text included) are encoded together, which gives
the ids of the checkpoint's own tokenizer on the whole rendered string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from stepscore.errors import CheckpointError

Offsets = list[tuple[int, int]]
VOCABULARIES = ("tokenizer.json", "vocab.json", "tokenizer.model")


class StepTokenizer:
    """A checkpoint's tokenizer, read for scoring.

    markers: added tokens that are typed text when a user writes them, even where the checkpoint does not flag them
    as special.
    """

    def __init__(self, inner: PreTrainedTokenizerFast, markers: Sequence[str] = ()) -> None:
        self.inner = inner
        self._vocabulary = inner.get_added_vocab()
        self._first = _plain(inner, markers, first=True)
        self._rest = _plain(inner, markers, first=False)

    @classmethod
    def open(cls, path: str, markers: Sequence[str] = ()) -> StepTokenizer:
        """Raises CheckpointError where the folder holds no whole fast tokenizer."""
        if not any((Path(path) / name).is_file() for name in VOCABULARIES):
            # transformers would make an empty one up, which encodes every text to nothing.
            raise CheckpointError(f"{path} has no tokenizer ({', '.join(VOCABULARIES)})", path=path)
        try:
            inner = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        except Exception as error:  # the tokenizers package raises bare Exceptions for a damaged file
            raise CheckpointError(f"the tokenizer of {path}, or its config.json, is damaged: {error}") from error
        if not isinstance(inner, PreTrainedTokenizerFast):
            raise CheckpointError(f"{path} has no fast tokenizer (tokenizer.json)", path=path)
        return cls(inner, markers)

    @cached_property
    def bos(self) -> tuple[int, ...]:
        """The ids that the tokenizer itself puts in front of a text: () or the beginning-of-sequence token."""
        ids = self.inner("", add_special_tokens=True)["input_ids"]
        return tuple(ids[:1]) if ids and ids[0] == self.inner.bos_token_id else ()

    def encode(self, text: str, *, first: bool = True) -> tuple[list[int], Offsets]:
        """Plain text to ids and character offsets. first: the text opens a sequence (matters for Metaspace)."""
        encoding = (self._first if first else self._rest).encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def token_id(self, token: str) -> int:
        """The id of a token of the vocabulary. Raises CheckpointError where there is none."""
        found = self.inner.convert_tokens_to_ids(token)
        if not isinstance(found, int) or self.inner.convert_ids_to_tokens(found) != token:
            raise CheckpointError(f"the tokenizer has no token {token!r}", token=token)
        return found

    def last_id(self, text: str) -> int:
        """`encode(text)[-1]`, the way many model cards name a token."""
        return self.encode(text)[0][-1]

    def parts(self, template: str) -> Iterator[tuple[str, int | None]]:
        """Template text as (text, None) stretches and (token, id) special tokens, in order."""
        for part in self._splitter.split(template):
            if part:
                yield part, self._vocabulary.get(part)

    @cached_property
    def _splitter(self) -> re.Pattern[str]:
        longest_first = sorted(self._vocabulary, key=len, reverse=True)
        alternatives = "|".join(map(re.escape, longest_first)) or "(?!)"
        return re.compile(f"({alternatives})")


def _plain(inner: PreTrainedTokenizerFast, markers: Sequence[str], *, first: bool) -> Tokenizer:
    """A copy that sees every special token and marker as text."""
    spec: dict[str, Any] = json.loads(inner.backend_tokenizer.to_str())
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"] not in markers]
    spec["post_processor"] = None
    if not first:
        _drop_prefix(spec.get("pre_tokenizer"))
    plain = Tokenizer.from_str(json.dumps(spec))
    plain.no_truncation()
    plain.no_padding()
    plain.encode_special_tokens = True
    return plain


def _drop_prefix(pre_tokenizer: dict[str, Any] | None) -> None:
    """Metaspace with `first` puts its sign only before the first stretch of a text."""
    if pre_tokenizer is None:
        return
    for part in pre_tokenizer.get("pretokenizers", [pre_tokenizer]):
        if part["type"] == "Metaspace" and part.get("prepend_scheme") == "first":
            part["prepend_scheme"] = "never"
