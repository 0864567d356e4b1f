"""The generator protocol: prompts in, sampled texts and log-probabilities out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

Prompt = str | tuple[int, ...]
"""Text, which the model's own tokenizer encodes as it stands, or token ids."""

StopReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample.

    n: completions of the prompt. max_tokens: tokens of each, less where the model's context ends before.
    temperature: 0 takes the likeliest token. top_p, top_k: 1.0 and 0 keep every token.
    stop: texts that end a completion; keep_stop leaves the one that was met at its end.
    seed: completions with the same prompt and seed are the same, and those of one prompt differ; None is random. Other
        requests in the same call change no random number; they may change how the model's own numbers are rounded.
    top_logprobs: the likeliest tokens reported for each sampled one.
    """

    n: int = 1
    max_tokens: int = 1024
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    keep_stop: bool = False
    seed: int | None = None
    top_logprobs: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and how to continue it."""

    prompt: Prompt
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class SampledToken:
    """One sampled token: its text, its log-probability, and those of the likeliest tokens at its place.

    Log-probabilities are the model's own: before temperature, top_p and top_k.
    """

    text: str
    logprob: float
    top: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Completion:
    """What was sampled after a prompt.

    stop_reason: `stop` at a stop text or the end of the sequence, `length` at max_tokens or the end of the context.
    tokens: all sampled tokens, those of a stop text that is cut off included.
    """

    text: str
    stop_reason: StopReason
    tokens: tuple[SampledToken, ...] = ()


@dataclass(frozen=True, slots=True)
class GeneratorInfo:
    """Where a generator runs. max_tokens: prompt and completion together."""

    name: str
    device: str
    dtype: str
    max_tokens: int


class Generator(Protocol):
    """Samples from one model. One caller at a time."""

    @property
    def info(self) -> GeneratorInfo: ...

    @property
    def tokens(self) -> int:
        """Tokens read and sampled since it was opened."""
        ...

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        """`n` completions for each request, in order. Raises GeneratorError; never returns a shorter list."""
        ...

    def continuations(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        """For each choice, the log-probability of each of its tokens after the prompt. Raises GeneratorError."""
        ...

    def close(self) -> None:
        """Free what it holds. It cannot be used afterwards."""
        ...


def derive_seed(seed: int, *parts: str) -> int:
    """A number below 2**31, the same for the same run and texts on every machine."""
    digest = hashlib.sha256("\0".join((str(seed), *parts)).encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest()[:4], "big") >> 1
