"""The trained model as a checkpoint folder that the service reads: config, tokenizer, tensors by agreed names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import save_torch_state_dict
from torch import Tensor

from stepscore.scoring.protocol import AGGREGATE_KEY
from stepscore_service.jobs.modeling.build import TrainSetup
from stepscore_service.jobs.modeling.model import layers_of, without_adapters
from stepscore_service.jobs.runs.atomic import files_into

LAST = "config.json"
"""Moved last, so that a folder that has it is whole."""


def save(setup: TrainSetup, folder: Path) -> None:
    """Write beside the folder's files, then move them in. Adapters are merged into the weights. Raises OSError."""
    lm = without_adapters(setup.model.lm)
    with files_into(folder, last=LAST) as part:
        save_torch_state_dict(tensors(setup, lm), str(part))
        setup.base.tokenizer.save_pretrained(part)
        (part / LAST).write_text(json.dumps(config_of(setup, lm), indent=1) + "\n", encoding="utf-8")


def tensors(setup: TrainSetup, lm: Any) -> dict[str, Tensor]:
    """The backbone under `model.`, then the head by the output's names, or the vocabulary's own."""
    state = {f"model.{name}": tensor for name, tensor in lm.get_decoder().state_dict().items()}
    head = setup.model.head
    if head is None:
        return state if lm.config.tie_word_embeddings else state | {"lm_head.weight": lm.get_output_embeddings().weight}
    for name, (weight, bias) in zip(setup.output.training.layers, layers_of(head), strict=True):
        state |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return state


def config_of(setup: TrainSetup, lm: Any) -> dict[str, Any]:
    training = setup.output.training
    config: dict[str, Any] = json.loads(lm.config.to_json_string(use_diff=False))
    config.pop("quantization_config", None)  # a base read from GGUF keeps that name, but its weights here are whole
    config.pop(AGGREGATE_KEY, None)  # of the base's rewards
    reading = setup.model.reading.config() if setup.model.reading else {}
    return config | {"architectures": [setup.base.kind + training.architecture]} | dict(training.config) | reading
