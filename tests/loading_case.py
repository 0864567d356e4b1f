"""What tests of loading share: one solution, its rewards, and changes to a checkpoint on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from stepscore.config import EngineOptions
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading, Solution

CPU = EngineOptions(device="cpu", dtype="float32")
SOLUTION = Solution("How many?", ("3 + 4 = 7.\n\nSo 7.", "7 + 1 = 8 √é", "The answer is 8."))


def rewards(folder: Path, family: str | None = None, **options: str) -> tuple[float, ...]:
    scorer = open_scorer(str(folder), family=family, options=CPU, family_options=options)
    (reading,) = scorer.score([SOLUTION])
    assert isinstance(reading, Reading), reading
    return reading.rewards


def change_weights(folder: Path, **changes: torch.Tensor | None) -> Path:
    """Tensors replaced, added or (None) removed; `__` in a name stands for a dot."""
    state = load_file(folder / "model.safetensors")
    for name, tensor in changes.items():
        key = name.replace("__", ".")
        if tensor is None:
            del state[key]
        else:
            state[key] = tensor
    save_file(state, folder / "model.safetensors")
    return folder


def change_config(folder: Path, file: str = "config.json", **changes: Any) -> Path:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return folder
