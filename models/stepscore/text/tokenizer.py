"""Text to token ids with a wall between template and user text.

User text is encoded with special tokens off: a marker that somebody types is text. Template text is split at its
special tokens first, and the plain stretches between them (user text included) are encoded together, which gives
the ids of the checkpoint's own tokenizer on the whole rendered string.

What was tokenised before is remembered: stretches between special tokens, and inside them lines, if the tokenizer
lets a text be cut there (stepscore.text.cuts). So a step that is sent again costs no tokenisation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from stepscore.errors import CheckpointError
from stepscore.text.cuts import exact_cuts
from stepscore.text.token_cache import TokenCache, Tokens
from stepscore.text.tokenizer_files import open_tokenizer

CACHE_BYTES = 64 << 20


class StepTokenizer:
    """A checkpoint's tokenizer, read for scoring.

    markers: added tokens that are typed text when a user writes them, even if the checkpoint does not flag them
    as special. cache_bytes: budget of the texts that are remembered; 0 remembers none.
    """

    def __init__(
        self, inner: PreTrainedTokenizerFast, markers: Sequence[str] = (), cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.inner = inner
        self.calls = 0
        """Texts that went through the tokenizer; those that were remembered are not among them."""
        self._vocabulary = inner.get_added_vocab()
        spec = _plain_spec(inner, markers)
        self._cuts = exact_cuts(spec)
        self._first = self._rest = _load(spec)
        if _drop_prefix(spec["pre_tokenizer"]):
            self._rest = _load(spec)
        self._cache = TokenCache(cache_bytes)

    @classmethod
    def open(cls, path: str, markers: Sequence[str] = ()) -> StepTokenizer:
        """The tokenizer in a folder. Raises CheckpointError if there is none, it is damaged or it loses text."""
        return cls(open_tokenizer(Path(path)), markers)

    @cached_property
    def bos(self) -> tuple[int, ...]:
        """The ids that the tokenizer itself puts in front of a text: () or the beginning-of-sequence token."""
        ids = self.inner("", add_special_tokens=True)["input_ids"]
        return tuple(ids[:1]) if ids and ids[0] == self.inner.bos_token_id else ()

    def encode(self, text: str, *, first: bool = True) -> tuple[list[int], list[int]]:
        """Plain text to ids and the characters at which they end.

        first: the text opens a sequence (matters for Metaspace).
        """
        ids: list[int] = []
        ends: list[int] = []
        start = 0
        for part in self._cuts.split(text):
            tokens = self._tokens(part, first=first and not start)
            ids.extend(tokens.ids)
            ends.extend(start + end for end in tokens.ends)
            start += len(part)
        return ids, ends

    def ids(self, text: str, *, first: bool = True) -> list[int]:
        """The ids of `encode` alone."""
        opening, *rest = self._cuts.split(text)
        ids = self._tokens(opening, first=first).ids.tolist()
        for part in rest:
            ids.extend(self._tokens(part, first=False).ids)
        return ids

    def token_id(self, token: str) -> int:
        """The id of a token of the vocabulary. Raises CheckpointError if there is none."""
        found = self.inner.convert_tokens_to_ids(token)
        if not isinstance(found, int) or self.inner.convert_ids_to_tokens(found) != token:
            raise CheckpointError(f"the tokenizer has no token {token!r}", token=token)
        return found

    def last_id(self, text: str) -> int:
        """`encode(text)[-1]`, the way many model cards name a token."""
        return self.ids(text)[-1]

    def parts(self, template: str) -> Iterator[tuple[str, int | None]]:
        """Template text as (text, None) stretches and (token, id) special tokens, in order."""
        for part in self._splitter.split(template):
            if part:
                yield part, self._vocabulary.get(part)

    def _tokens(self, part: str, *, first: bool) -> Tokens:
        key = first and self._rest is not self._first, part
        found = self._cache.get(key)
        if found is None:
            tokenizer = self._first if first else self._rest
            encoding = tokenizer.encode(part, add_special_tokens=False)
            self.calls += 1
            found = Tokens.of(encoding.ids, [end for _, end in encoding.offsets])
            self._cache.put(key, found)
        return found

    @cached_property
    def _splitter(self) -> re.Pattern[str]:
        longest_first = sorted(self._vocabulary, key=len, reverse=True)
        alternatives = "|".join(map(re.escape, longest_first)) or "(?!)"
        return re.compile(f"({alternatives})")


def _plain_spec(inner: PreTrainedTokenizerFast, markers: Sequence[str]) -> dict[str, Any]:
    """The tokenizer's JSON, which knows no markers and adds nothing."""
    spec: dict[str, Any] = json.loads(inner.backend_tokenizer.to_str())
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"] not in markers]
    return spec | {"post_processor": None, "truncation": None, "padding": None}


def _load(spec: Mapping[str, Any]) -> Tokenizer:
    """A tokenizer that sees every special token as text."""
    plain = Tokenizer.from_str(json.dumps(spec))
    plain.encode_special_tokens = True
    return plain


def _drop_prefix(pre_tokenizer: dict[str, Any] | None) -> bool:
    """Metaspace with `first` puts its sign only before the first stretch of a text. Whether something was dropped."""
    parts = [] if pre_tokenizer is None else pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    found = [part for part in parts if part["type"] == "Metaspace" and part.get("prepend_scheme") == "first"]
    for part in found:
        part["prepend_scheme"] = "never"
    return bool(found)
