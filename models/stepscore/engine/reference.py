"""Plain transformers, one sequence at a time: what every other mode is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import LlamaModel, MistralModel, Qwen2Model, Qwen3Model

from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.protocol import EngineInfo, SequenceLimits, TokenCounts
from stepscore.engine.torch.architecture import read_architecture, read_config
from stepscore.engine.torch.engine import checkpoints_of
from stepscore.engine.torch.failures import engine_error, errors_of_loading
from stepscore.engine.torch.readout import Readout, load_readout
from stepscore.engine.torch.weights import Weights, backbone_prefix
from stepscore.errors import CheckpointError
from stepscore.family.heads import Head
from stepscore.placement import Placement, place
from stepscore.types import Encoded, Values

MODELS: dict[str, Any] = {"llama": LlamaModel, "mistral": MistralModel, "qwen2": Qwen2Model, "qwen3": Qwen3Model}


@dataclass(frozen=True, slots=True)
class ReferenceModel:
    """transformers' own backbone with the head."""

    backbone: Any
    readout: Readout

    def run(self, encoded: Encoded) -> torch.Tensor:
        """(S, C) fp32."""
        ids = torch.tensor([encoded.ids], device=self.backbone.device)
        hidden_TD = self.backbone(input_ids=ids, use_cache=False).last_hidden_state[0]
        targets = torch.tensor(encoded.targets or (0,) * len(encoded.reads), device=ids.device)
        return self.readout(hidden_TD[list(encoded.reads)], targets)


class ReferenceEngine:
    """Mode `reference` of the engine protocol: nothing packed, nothing shared, every token computed."""

    def __init__(self, models: Sequence[ReferenceModel], info: EngineInfo, limits: SequenceLimits) -> None:
        self.info = info
        self.models = list(models)
        self._limits = limits
        self._tokens = 0

    def counts(self) -> TokenCounts:
        return TokenCounts(self._tokens, self._tokens)

    def cost(self, encoded: Encoded) -> int:
        return len(encoded.ids)

    @torch.inference_mode()
    def forward(self, batch: Sequence[Encoded]) -> list[Values]:
        self._limits.check(batch)
        return [self._one(encoded) for encoded in batch]

    def purge(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        self.models.clear()

    def _one(self, encoded: Encoded) -> Values:
        if not encoded.reads:
            return np.empty((0, self._limits.head.outputs), dtype=np.float32)
        try:
            numbers = torch.cat([model.run(encoded) for model in self.models], dim=1)
        except RuntimeError as error:
            raise engine_error(error, len(encoded.ids)) from error
        self._tokens += len(encoded.ids)
        values: Values = numbers.cpu().numpy()
        return values


def open_reference_engine(facts: CheckpointFacts, head: Head, options: EngineOptions) -> ReferenceEngine:
    """Load a checkpoint into transformers' own classes. Raises as `open_torch_engine` does."""
    with errors_of_loading(facts.name):
        return _open(facts, head, options)


def _open(facts: CheckpointFacts, head: Head, options: EngineOptions) -> ReferenceEngine:
    if options.threads:
        torch.set_num_threads(options.threads)
    placement = place(options.device, options.dtype, options.max_tokens, facts.max_tokens)
    max_tokens = placement.max_tokens
    checkpoints = checkpoints_of(facts, head, options)
    models = [_load(each, head, placement) for each in checkpoints]
    info = EngineInfo(
        "transformers",
        str(placement.device),
        placement.dtype_name,
        "reference",
        max_tokens,
        max_batch_tokens=max_tokens,
    )
    return ReferenceEngine(models, info, SequenceLimits(max_tokens, _vocabulary(models), head))


def _vocabulary(models: Sequence[ReferenceModel]) -> int:
    return min(int(model.backbone.config.vocab_size) for model in models)


def _load(facts: CheckpointFacts, head: Head, placement: Placement) -> ReferenceModel:
    architecture = read_architecture(facts, placement.max_tokens)
    weights = Weights(facts.path)
    try:
        with torch.device("meta"):
            backbone = MODELS[architecture.kind](read_config(facts))
        prefix = backbone_prefix(weights)
        wanted = {key: tuple(tensor.shape) for key, tensor in backbone.state_dict().items()}
        state = {key: weights.get(prefix + key, size).to(placement.dtype) for key, size in wanted.items()}
        return ReferenceModel(
            _fill(backbone, state, facts, placement), load_readout(head, weights, architecture, placement)
        )
    finally:
        weights.close()


def _fill(backbone: Any, state: dict[str, torch.Tensor], facts: CheckpointFacts, placement: Placement) -> Any:
    """The backbone with the checkpoint's tensors. Its rotary tables are not weights: they are computed again."""
    backbone.load_state_dict(state, assign=True)
    backbone.rotary_emb = type(backbone.rotary_emb)(read_config(facts))
    stray = [name for name, tensor in backbone.named_parameters() if tensor.is_meta]
    if stray:
        raise CheckpointError(f"{facts.path} lacks the tensors {', '.join(stray)}", path=str(facts.path), missing=stray)
    return backbone.to(placement.device).eval()
