"""What an engine's process and its parent say to each other, pickled over a pair of sockets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.protocol import EngineInfo, TokenCounts
from stepscore.family.heads import Head
from stepscore.types import EncodedSolution, Values

Method = Literal["forward", "advance", "purge", "quantize", "close"]


@dataclass(frozen=True, slots=True)
class OpenEngine:
    """The first message: what `open_engine` takes."""

    facts: CheckpointFacts
    head: Head
    options: EngineOptions
    engine: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the engine; its answer is the `Reply` of the same number. Calls run in the order they are sent."""

    number: int
    method: Method
    argument: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    """result: what the call returned, or the error that it raised. counts: of the engine, after the call."""

    number: int
    result: Any
    counts: TokenCounts


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to `OpenEngine`. counts: of an engine that has done nothing."""

    info: EngineInfo
    counts: TokenCounts


@dataclass(frozen=True, slots=True)
class Part:
    """A work of one `advance`. encoded: what is left of it; None if the process has begun it and keeps it as `key`."""

    key: int
    encoded: EncodedSolution | None
    token_budget: int


@dataclass(frozen=True, slots=True)
class PartResult:
    """outputs: of the sequences that are now finished. left: tokens of the next one still to compute, if it was begun.

    A work with `left` is kept in the process under its key; any other is forgotten there.
    """

    outputs: Sequence[Values]
    left: int | None


@dataclass(frozen=True, slots=True)
class Release:
    """Give up what is kept under a key. Has no reply, and may overtake a call that runs."""

    key: int
