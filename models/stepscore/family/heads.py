"""Heads: how the hidden state at a read position becomes C numbers. Descriptions only; an engine builds them.

Every head is a frozen value that names the state-dict keys or token ids it needs, so that an engine can refuse a
checkpoint that lacks one instead of starting it with random weights. Its `outputs` are C.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A stack of linear layers with ReLU between them, over the last hidden state (fp32).

    layers: state-dict prefixes in order, each with `.weight` and, if the checkpoint has it, `.bias`:
        ("score.0", "score.2") for Qwen2ForProcessRewardModel, ("score",) for token classification,
        ("v_head.summary",) for a value head.
    outputs: the width that the last layer must have.
    """

    layers: tuple[str, ...]
    outputs: int


@dataclass(frozen=True, slots=True)
class EnsembleHead:
    """E small networks over one hidden state: `{prefix}.{nn1,nn2,nn_out}.{weight [E,in,out], bias [E,out]}`, ReLU.

    Numbers: E logits. Source: sail-sg/ActivePRM.
    """

    prefix: str
    members: int

    @property
    def outputs(self) -> int:
        return self.members


@dataclass(frozen=True, slots=True)
class VocabularyHead:
    """The rows `token_ids` of the language-model head (tied embeddings included). Numbers: their logits."""

    token_ids: tuple[int, ...]

    @property
    def outputs(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class TokenLogProbHead:
    """log-softmax over the whole vocabulary, read at `Encoded.targets` and, after it, at the token ids of `beside`.

    Numbers: 1 + len(beside), or twice that (policy, reference) when `reference` asks for a second model over the same
    ids.
    """

    reference: bool
    beside: tuple[int, ...] = ()

    @property
    def outputs(self) -> int:
        return (1 + len(self.beside)) * (2 if self.reference else 1)


@dataclass(frozen=True, slots=True)
class GatedHead:
    """K objectives and the weights that a gating network gives them, both over one hidden state (fp32).

    gate: state-dict prefixes of its linear layers, ReLU between them, the last K wide; scale: key of its factor, (1,).
    regression: key of the objectives' rows, (K, D); transform: key of the matrix that follows them, (K, K).
    Numbers: 2K, softmax(gate / temperature) * scale, then (h regression^T) transform. Source: ArmoRM.
    """

    gate: tuple[str, ...]
    scale: str
    regression: str
    transform: str
    objectives: int
    temperature: float

    @property
    def outputs(self) -> int:
        return 2 * self.objectives


@dataclass(frozen=True, slots=True)
class VerdictHead:
    """No tensor: a generator writes a judgement and the family parses it. Run by a judge, never by a forward engine."""

    @property
    def outputs(self) -> int:
        return 0


Head = LinearHead | EnsembleHead | VocabularyHead | TokenLogProbHead | GatedHead | VerdictHead
