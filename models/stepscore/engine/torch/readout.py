"""Heads at work: hidden states at the read positions in, C numbers each out, in fp32.

Shapes: P pairs of a position and its target, D width, C numbers, V vocabulary, E members of an ensemble,
K gated objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from stepscore.engine.torch.architecture import Architecture
from stepscore.engine.torch.linear import Linear
from stepscore.engine.torch.loading import refuse_leftovers
from stepscore.engine.torch.weights import Weights, backbone_prefix
from stepscore.errors import CheckpointError, UnsupportedByEngine
from stepscore.family.heads import EnsembleHead, GatedHead, Head, LinearHead, TokenLogProbHead, VocabularyHead
from stepscore.placement import Placement

LOG_PROB_ROWS = {"cpu": 128, "cuda": 1024}
"""Rows of the vocabulary product at a time: 128 x 152k fp32 numbers are 78 MB. On CUDA so few would be bound by reading
the vocabulary's matrix anew for each part."""


class Readout(Protocol):
    def __call__(self, hidden_PD: torch.Tensor, targets_P: torch.Tensor) -> torch.Tensor:
        """(P, C) fp32."""
        ...


def load_readout(head: Head, weights: Weights, architecture: Architecture, placement: Placement) -> Readout:
    """The head's tensors from the checkpoint. Raises CheckpointError if one is missing or has another shape."""
    match head:
        case LinearHead():
            return _linear(head, weights, architecture, placement)
        case EnsembleHead():
            return _ensemble(head, weights, architecture, placement)
        case VocabularyHead():
            return _vocabulary(head, weights, architecture, placement)
        case GatedHead():
            return _gated(head, weights, architecture, placement)
        case TokenLogProbHead():
            rows = _vocabulary_rows(weights, architecture).to(placement.device, placement.dtype)
            beside = torch.tensor(
                _check_token_ids(head.beside, architecture), dtype=torch.long, device=placement.device
            )
            step = LOG_PROB_ROWS.get(placement.device.type, LOG_PROB_ROWS["cpu"])
            return TokenLogProbs(Linear(rows, None, placement.tile and step), beside, step)
    raise UnsupportedByEngine(f"no forward engine runs a {type(head).__name__}", engine="torch")


@dataclass(frozen=True, slots=True)
class LinearStack:
    """Linear layers with ReLU between them."""

    layers: tuple[Linear, ...]

    def __call__(self, hidden_PD: torch.Tensor, targets_P: torch.Tensor) -> torch.Tensor:
        rows = hidden_PD.float()
        for layer in self.layers[:-1]:
            rows = functional.relu(layer(rows))
        return self.layers[-1](rows)


@dataclass(frozen=True, slots=True)
class EnsembleStack:
    """E networks side by side; weights (E, in, out), biases (E, out)."""

    weights: tuple[torch.Tensor, ...]
    biases: tuple[torch.Tensor, ...]
    tile: int

    def __call__(self, hidden_PD: torch.Tensor, targets_P: torch.Tensor) -> torch.Tensor:
        step = self.tile or max(len(hidden_PD), 1)
        parts = [self._members(part, step) for part in torch.split(hidden_PD.float(), step)]
        return torch.cat(parts) if parts else hidden_PD.new_empty((0, len(self.weights[0])), dtype=torch.float32)

    def _members(self, hidden_PD: torch.Tensor, rows: int) -> torch.Tensor:
        padded_PD = functional.pad(hidden_PD, (0, 0, 0, rows - len(hidden_PD)))
        states_EPX = padded_PD.expand(len(self.weights[0]), -1, -1)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            states_EPX = torch.baddbmm(bias.unsqueeze(1), functional.relu(states_EPX) if number else states_EPX, weight)
        return states_EPX.squeeze(-1).t()[: len(hidden_PD)]


@dataclass(frozen=True, slots=True)
class TokenLogProbs:
    """log-softmax over the vocabulary, at the target and then at `beside`.

    The product runs in the model's dtype, the softmax in fp32. rows: of one product.
    """

    vocabulary: Linear
    beside: torch.Tensor
    rows: int

    def __call__(self, hidden_PD: torch.Tensor, targets_P: torch.Tensor) -> torch.Tensor:
        read_PC = hidden_PD.new_empty((len(hidden_PD), 1 + len(self.beside)), dtype=torch.float32)
        for start in range(0, len(hidden_PD), self.rows):
            part = slice(start, start + self.rows)
            logits_PV = self.vocabulary(hidden_PD[part]).float()
            chosen_P1 = logits_PV.gather(1, targets_P[part].unsqueeze(1))
            chosen_PC = torch.cat([chosen_P1, logits_PV[:, self.beside]], dim=1)
            read_PC[part] = chosen_PC - logits_PV.logsumexp(dim=1, keepdim=True)
        return read_PC


@dataclass(frozen=True, slots=True)
class GatedObjectives:
    """The gating network's K weights beside the K objectives that they weigh."""

    gate: LinearStack
    temperature: float
    scale: torch.Tensor
    regression: Linear
    transform: Linear

    def __call__(self, hidden_PD: torch.Tensor, targets_P: torch.Tensor) -> torch.Tensor:
        weights_PK = torch.softmax(self.gate(hidden_PD, targets_P) / self.temperature, dim=1) * self.scale
        return torch.cat([weights_PK, self.transform(self.regression(hidden_PD.float()))], dim=1)


def _linear(head: LinearHead, weights: Weights, architecture: Architecture, placement: Placement) -> LinearStack:
    widths = [architecture.width, *(_height(weights, f"{layer}.weight") for layer in head.layers[:-1]), head.outputs]
    layers = []
    for name, inputs, outputs in zip(head.layers, widths[:-1], widths[1:], strict=True):
        weight = _to_fp32(weights.get(f"{name}.weight", (outputs, inputs)), placement)
        biased = f"{name}.bias" in weights
        bias = _to_fp32(weights.get(f"{name}.bias", (outputs,)), placement) if biased else None
        layers.append(Linear(weight, bias, placement.tile))
    refuse_leftovers(weights, (head.layers[0].rpartition(".")[0] or head.layers[0]) + ".")
    return LinearStack(tuple(layers))


def _ensemble(head: EnsembleHead, weights: Weights, architecture: Architecture, placement: Placement) -> EnsembleStack:
    names = [f"{head.prefix}.{part}" for part in ("nn1", "nn2", "nn_out")]
    inner = _last(weights, f"{names[0]}.weight"), _last(weights, f"{names[1]}.weight")
    sizes = [architecture.width, *inner, 1]
    read = [
        (
            _to_fp32(weights.get(f"{name}.weight", (head.members, inputs, outputs)), placement),
            _to_fp32(weights.get(f"{name}.bias", (head.members, outputs)), placement),
        )
        for name, inputs, outputs in zip(names, sizes[:-1], sizes[1:], strict=True)
    ]
    refuse_leftovers(weights, f"{head.prefix}.")
    return EnsembleStack(tuple(pair[0] for pair in read), tuple(pair[1] for pair in read), placement.tile)


def _gated(head: GatedHead, weights: Weights, architecture: Architecture, placement: Placement) -> GatedObjectives:
    count = head.objectives
    regression_KD = _to_fp32(weights.get(head.regression, (count, architecture.width)), placement)
    transform_KK = _to_fp32(weights.get(head.transform, (count, count)), placement)
    return GatedObjectives(
        _linear(LinearHead(head.gate, count), weights, architecture, placement),
        head.temperature,
        _to_fp32(weights.get(head.scale, (1,)), placement),
        Linear(regression_KD, None, placement.tile),
        Linear(transform_KK.t().contiguous(), None, placement.tile),
    )


def _vocabulary(
    head: VocabularyHead, weights: Weights, architecture: Architecture, placement: Placement
) -> LinearStack:
    rows = _vocabulary_rows(weights, architecture)[_check_token_ids(head.token_ids, architecture)]
    return LinearStack((Linear(_to_fp32(rows, placement), None, placement.tile),))


def _check_token_ids(token_ids: Sequence[int], architecture: Architecture) -> list[int]:
    outside = [token for token in token_ids if not 0 <= token < architecture.vocabulary]
    if outside:
        raise CheckpointError(
            f"token ids {outside} lie outside the vocabulary of {architecture.vocabulary}", ids=outside
        )
    return list(token_ids)


def _vocabulary_rows(weights: Weights, architecture: Architecture) -> torch.Tensor:
    """(V, D): the language-model head, which is the embedding if the config ties them."""
    prefix = backbone_prefix(weights)
    size = (architecture.vocabulary, architecture.width)
    if architecture.tied:
        return weights.get(f"{prefix}embed_tokens.weight", size)
    return weights.get(f"{prefix.removesuffix('model.')}lm_head.weight", size)


def _height(weights: Weights, key: str) -> int:
    return _shape(weights, key)[0]


def _last(weights: Weights, key: str) -> int:
    return _shape(weights, key)[-1]


def _shape(weights: Weights, key: str) -> Sequence[int]:
    if key not in weights:
        raise CheckpointError(f"{weights.path} lacks the tensor {key}", path=str(weights.path), key=key)
    return weights.shape(key)


def _to_fp32(tensor: torch.Tensor, placement: Placement) -> torch.Tensor:
    return tensor.to(placement.device, torch.float32)
