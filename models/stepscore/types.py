"""The vocabulary: what the rooms of the library hand to each other. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ids = tuple[int, ...]
"""Token ids."""

Span = tuple[int, int]
"""Characters [start, end) of a text."""

Values = NDArray[np.float32]
"""Raw numbers of one sequence: shape (S, C), S read positions, C numbers per position (the head says which)."""

RangeKind = Literal["probability", "difference", "log_ratio", "real"]


@dataclass(frozen=True, slots=True)
class Solution:
    """A problem and the steps that try to solve it, in order."""

    problem: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SolutionRequest:
    """A solution to score. solution: its steps, or one text, which `split` says how to split.

    partial: the last step is not finished, and not scored.
    """

    problem: str
    solution: str | tuple[str, ...]
    split: str = "auto"
    partial: bool = False

    @property
    def characters(self) -> int:
        """Of the problem and the solution."""
        return len(self.problem) + (
            len(self.solution) if isinstance(self.solution, str) else sum(map(len, self.solution))
        )


@dataclass(frozen=True, slots=True)
class SplitSolution:
    """A solution in steps.

    spans: characters [start, end) of each step in the text or, if it came in steps, in the steps joined.
    """

    solution: Solution
    spans: tuple[tuple[int, int], ...]
    from_text: bool


@dataclass(frozen=True, slots=True)
class Encoded:
    """One token sequence and the positions at which numbers are read.

    ids: token ids, length T.
    reads: S ascending positions in [0, T); the hidden state at each goes through the head.
    targets: for heads that read the probability of one token, the S target ids (`targets[s]` is the token whose
        log-probability is read from the hidden state at `reads[s]`); empty for every other head.
    cache_salt: an engine reuses computed prefixes only among sequences of the same one (one per tenant, say).
    """

    ids: tuple[int, ...]
    reads: tuple[int, ...]
    targets: tuple[int, ...] = ()
    cache_salt: str = ""


@dataclass(frozen=True, slots=True)
class EncodedSolution:
    """A solution as its family's layout wrote it: one or more sequences, each with its read positions.

    sequences: what the engine runs; most families need one, per-prefix families one for each step.
    steps: how many steps the solution has, which is how many rewards the reader must return.
    marks: whole numbers that the family's own reader needs besides (for example step boundaries of an implicit PRM).
    """

    sequences: tuple[Encoded, ...]
    steps: int
    marks: tuple[int, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens over all sequences, before any sharing."""
        return sum(len(sequence.ids) for sequence in self.sequences)


@dataclass(frozen=True, slots=True)
class RewardRange:
    """The interval in which a family's rewards lie, and what kind of number they are."""

    kind: RangeKind
    low: float
    high: float


PROBABILITY = RewardRange("probability", 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a family's reader returns for one solution; every sequence has one entry per step, in order.

    rewards: the step rewards.
    logits: the raw numbers behind each reward (C per step), before softmax or sigmoid.
    extras: further named numbers per step that the family publishes (spread of an ensemble, redundancy, ...).
    rationales: the text of a generative judge, one per step; empty for every other family.
    steps: the texts that the rewards belong to, for display; () if only token ids are known.
    """

    rewards: tuple[float, ...]
    logits: tuple[tuple[float, ...], ...] = ()
    extras: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    rationales: tuple[str, ...] = ()
    steps: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def _repr_html_(self) -> str:
        """The steps coloured by reward, for Jupyter."""
        kind, texts = kind_of(self.rewards), self.steps or ("",) * len(self.rewards)
        rows = "".join(_row_html(*each, kind) for each in zip(self.rewards, texts, strict=True))
        return f'<table style="text-align: left">{rows}</table>'


def _row_html(reward: float, text: str, kind: RangeKind) -> str:
    shade = ",".join(map(str, colour(goodness(reward, kind))))
    style = f"border-left: 4px solid rgb({shade}); background: rgba({shade},.14); text-align: left"
    cell = f'<td style="{style}; white-space: pre-wrap">{escape(text)}</td>'
    return f'<tr><td style="{style}"><b>{reward:.4f}</b></td>{cell}</tr>'


def goodness(reward: float, kind: RangeKind = "probability") -> float:
    """A reward on a scale from bad (0) to good (1): itself if it is a probability, otherwise squashed around 0.

    kind: of the reward's range.
    """
    return reward if kind == "probability" else 0.5 + 0.5 * math.tanh(reward / 2)


def colour(share: float) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) of a goodness."""
    return round(235 * min(1.0, 2 - 2 * share)), round(190 * min(1.0, 2 * share)), 60


def kind_of(rewards: Sequence[float]) -> RangeKind:
    """The kind of rewards of which nothing else is known: probabilities if all of them could be."""
    return "probability" if all(0.0 <= reward <= 1.0 for reward in rewards) else "real"
