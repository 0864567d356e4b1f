"""What an adapter gets: the checkouts, a checkpoint, and the solutions to score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

Case = tuple[str, list[str]]


@dataclass
class Job:
    checkouts: Path
    checkpoint: Path
    base: Path | None
    options: dict[str, Any]

    def file(self, path: str) -> Path:
        return self.checkouts / path

    def tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self.checkpoint)

    def causal(self, path: Path | None = None) -> Any:
        return AutoModelForCausalLM.from_pretrained(path or self.checkpoint, torch_dtype=torch.float32).eval()

    def weights(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors under a prefix, without it."""
        found = load_file(self.checkpoint / "model.safetensors")
        return {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}

    def backbone(self) -> Any:
        """The decoder alone."""
        model = AutoModel.from_config(AutoConfig.from_pretrained(self.checkpoint), torch_dtype=torch.float32).eval()
        model.load_state_dict(self.weights("model."))
        return model

    def layers(self, *prefixes: str) -> Any:
        """Linear layers of the checkpoint with a ReLU between them."""
        parts: list[Any] = []
        for prefix in prefixes:
            state = self.weights(f"{prefix}.")
            rows, columns = state["weight"].shape
            layer = torch.nn.Linear(columns, rows, bias="bias" in state)
            layer.load_state_dict(state)
            parts += [layer, torch.nn.ReLU()]
        return torch.nn.Sequential(*parts[:-1])


class Recorder:
    """A model that remembers the ids of its calls, and what it answered last."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.ids: list[int] = []
        self.calls: list[list[int]] = []
        self.device = torch.device("cpu")

    def __call__(self, input_ids: Any = None, *args: Any, **kwargs: Any) -> Any:
        self.ids = input_ids[0].tolist()
        self.calls.append(self.ids)
        with torch.no_grad():
            self.answer = self.model(input_ids, *args, **kwargs)
        return self.answer


def result(ids: Any, rewards: Any) -> dict[str, list[Any]]:
    """A solution that is read in one sequence."""
    return sequences([ids], rewards)


def sequences(ids: Any, rewards: Any) -> dict[str, list[Any]]:
    """A solution that is read in several sequences, in order."""
    return {"ids": [[int(each) for each in one] for one in ids], "rewards": [float(each) for each in rewards]}
