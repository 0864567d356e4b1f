"""The model that is trained: a causal decoder with a head at the read positions, its language-model head beside it.

Shape suffixes: R rows, T tokens of a row, D width, S read positions of all rows, N numbers (as many, or fewer if a
step has several reads), C parts of a number, L positions whose next token is predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from stepscore.engine.torch.compiling import check_compiler, keep_compiled
from stepscore.family.trained_reading import TrainedReading
from stepscore_service.jobs.modeling.bases import Base
from stepscore_service.jobs.modeling.batch import TrainBatch
from stepscore_service.jobs.modeling.outputs import Output
from stepscore_service.jobs.modeling.plan import Lora

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class StepModel(nn.Module):
    """lm: the decoder, perhaps with adapters inside. head: over hidden states; None reads the vocabulary.

    reference: a frozen copy of the base, for what compares with it. reading: from a step's log-probabilities to its
    number.
    """

    def __init__(
        self, lm: Any, head: nn.Sequential | None, reference: Any = None, reading: TrainedReading | None = None
    ) -> None:
        super().__init__()
        self.lm = lm
        self.head = head
        self.reference = reference
        self.reading = reading

    def forward(self, batch: TrainBatch) -> tuple[Tensor, Tensor]:
        """The numbers (N, C) in fp32, and the summed loss of the predicted tokens (0 if none is predicted)."""
        hidden_ND = _hidden(self.lm, batch)
        numbers_SC = self._numbers(hidden_ND, batch)
        if not len(batch.predicted):
            return numbers_SC, numbers_SC.sum() * 0.0
        losses_L = by_parts(self.lm, _token_losses, hidden_ND[batch.predicting], batch.predicted)
        return numbers_SC, losses_L.sum()

    @torch.no_grad()
    def normalize_head(self, batches: Iterable[TrainBatch]) -> None:
        """By the hidden states at the read positions of these batches."""
        assert self.head is not None
        normalized = self.head[0]
        assert isinstance(normalized, Normalized)
        normalized.measure(torch.cat([_hidden(self.lm, batch)[batch.reads].float() for batch in batches]))

    def _numbers(self, hidden_ND: Tensor, batch: TrainBatch) -> Tensor:
        read_SD = hidden_ND[batch.reads]
        if self.head is not None:
            with torch.autocast(read_SD.device.type, enabled=False):
                numbers: Tensor = self.head(read_SD.float())
            return numbers
        if self.reading is not None:
            before_S = batch.input_ids.flatten()[batch.reads]
            marks_S = batch.marks.repeat_interleave(batch.marks.abs())
            events_S = by_parts(self.lm, self.reading.events, read_SD, before_S, batch.read_targets, marks_S)
            odds_N1: Tensor = self.reading(events_S, batch.marks)
            return odds_N1
        if self.reference is None:
            return read_SD.new_zeros((len(read_SD), 1)) + read_SD.sum() * 0.0
        with torch.no_grad():
            known_SD = _hidden(self.reference, batch)[batch.reads]
            reference_S = by_parts(self.reference, _log_probs, known_SD, batch.read_targets)
        return torch.stack([by_parts(self.lm, _log_probs, read_SD, batch.read_targets), reference_S], dim=-1)


def _hidden(lm: Any, batch: TrainBatch) -> Tensor:
    """(R * T, D). Rows hold several sequences where positions begin again; attention does not cross that border."""
    states: Tensor = lm.get_decoder()(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        attention_mask=batch.attention_mask,
        use_cache=False,
    ).last_hidden_state
    return states.flatten(0, 1)


VOCABULARY_ROWS = {"cpu": 256, "cuda": 2048}
"""Positions whose logits are held at once: a vocabulary of 152k takes 0.6 MB of fp32 for each."""

OfLogits = Callable[..., Tensor]


def by_parts(lm: Any, of: OfLogits, hidden_SD: Tensor, *others_S: Tensor) -> Tensor:
    """`of(logits_SV, *others_S)`, a number (S,) per position, without ever holding the logits of all positions.

    Each part's logits are computed again for its gradient, so the memory of a batch does not grow with S * V.
    """
    if not len(hidden_SD):
        return of(_logits(lm, hidden_SD), *others_S)
    rows = VOCABULARY_ROWS.get(hidden_SD.device.type, VOCABULARY_ROWS["cpu"])
    parts = zip(*(torch.split(each, rows) for each in (hidden_SD, *others_S)), strict=True)
    return torch.cat([_recompute(lm, of, *part) for part in parts])


def _recompute(lm: Any, of: OfLogits, hidden_SD: Tensor, *others_S: Tensor) -> Tensor:
    def values(hidden_SD: Tensor) -> Tensor:
        return of(_logits(lm, hidden_SD), *others_S)

    found: Tensor = checkpoint(values, hidden_SD, use_reentrant=False)
    return found


def _logits(lm: Any, hidden_SD: Tensor) -> Tensor:
    logits_SV: Tensor = lm.get_output_embeddings()(hidden_SD).float()
    return logits_SV


def _token_losses(logits_LV: Tensor, predicted_L: Tensor) -> Tensor:
    return cross_entropy(logits_LV, predicted_L, reduction="none")


def _log_probs(logits_SV: Tensor, targets_S: Tensor) -> Tensor:
    return -cross_entropy(logits_SV, targets_S, reduction="none")


SAME = 1e-6
"""A feature that deviates less from its mean, as a share of it, does so by rounding."""


class Normalized(nn.Module):
    """Hidden states minus their mean, divided by their deviation; as they are until `measure` has seen some.

    Their mean is many times as large as what tells steps apart, so that each step of an optimiser that learns from them
    as they are moves all numbers alike.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, hidden_SD: Tensor) -> Tensor:
        return (hidden_SD - self.mean) / self.deviation

    def measure(self, hidden_SD: Tensor) -> None:
        """A feature that is the same in all of them is not divided."""
        deviation_D, mean_D = torch.std_mean(hidden_SD.float(), dim=0, correction=0)
        self.mean.copy_(mean_D)
        self.deviation.copy_(torch.where(deviation_D > SAME * (1 + mean_D.abs()), deviation_D, 1.0))

    def fold(self, layer: nn.Linear) -> tuple[Tensor, Tensor]:
        """The layer's weight and bias for hidden states as they are."""
        weight = layer.weight / self.deviation
        return weight, layer.bias - weight @ self.mean


def new_head(output: Output, width: int) -> nn.Sequential | None:
    """`Normalized`, then linear layers with ReLU between them, all but the last as wide as the model.

    None if the output has no layers.
    """
    training = output.training
    if not training.layers:
        return None
    inner = training.layers[:-1]
    layers: list[nn.Module] = [module for _ in inner for module in (nn.Linear(width, width), nn.ReLU())]
    head = nn.Sequential(Normalized(width), *layers, nn.Linear(width, training.outputs))
    nn.init.normal_(head[-1].weight, std=0.02)  # type: ignore[arg-type]
    nn.init.zeros_(head[-1].bias)  # type: ignore[arg-type]
    return head


class TrainedRows(nn.Module):
    """A frozen embedding of which a few rows are trained, in fp32 as all that is trained.

    PEFT's own (`trainable_token_indices`) copies the whole table in every forward, and its gradient is as large again.
    """

    def __init__(self, embedding: nn.Embedding, tokens: Sequence[int]) -> None:
        super().__init__()
        self.embedding = embedding
        self.tokens = tuple(tokens)
        self.rows = nn.Parameter(embedding.weight[list(tokens)].detach().float())

    def forward(self, input_ids: Tensor) -> Tensor:
        found: Tensor = self.embedding(input_ids)
        for token, row in zip(self.tokens, self.rows, strict=True):
            found = torch.where((input_ids == token).unsqueeze(-1), row.to(found.dtype), found)
        return found

    @torch.no_grad()
    def merge(self) -> nn.Embedding:
        """The embedding with the rows as they were trained."""
        self.embedding.weight[list(self.tokens)] = self.rows.to(self.embedding.weight)
        return self.embedding


def with_adapters(base: Base, lora: Lora) -> Any:
    """The base's own model with adapters in its linear layers, everything else frozen.

    A new token's embedding is trained with them: nothing else would ever give it a meaning.
    """
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha or 2 * lora.rank, lora_dropout=lora.dropout, target_modules=LINEAR
    )
    lm = get_peft_model(base.lm, config)
    if base.new_tokens:
        base.lm.set_input_embeddings(TrainedRows(base.lm.get_input_embeddings(), base.new_tokens))
    return lm


def compile_layers(lm: Any) -> None:
    """Fuse what is elementwise in the decoder's layers: one graph for all of them and for every number of tokens.

    Raises UnsupportedByEngine without a compiler.
    """
    check_compiler(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    keep_compiled()
    for layer in lm.get_decoder().layers:
        layer.compile(dynamic=True)


def without_adapters(lm: Any) -> Any:
    """The model with its adapters and trained rows merged into its own weights; one without any as it is."""
    if not isinstance(lm, PeftModel):
        return lm
    merged = lm.merge_and_unload()
    embedding = merged.get_input_embeddings()
    if isinstance(embedding, TrainedRows):
        merged.set_input_embeddings(embedding.merge())
    return merged


def layers_of(head: nn.Sequential) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each linear layer, for hidden states as the decoder gives them."""
    normalized, first, *others = (layer for layer in head if not isinstance(layer, nn.ReLU))
    assert isinstance(normalized, Normalized)
    assert isinstance(first, nn.Linear)
    return [normalized.fold(first), *((layer.weight, layer.bias) for layer in others if isinstance(layer, nn.Linear))]
