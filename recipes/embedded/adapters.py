"""What runs of `stepscore train --lora` trained, by the base's own tensor names: adapters, several in one, a head."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from stepscore.checkpoint import weight_files
from stepscore.embedded.gguf_checkpoint import EMBEDDING, ROWS, State
from stepscore.errors import InvalidInput

_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_TRAINED = re.compile(r"^lm\.base_model\.model\.(?P<name>.+\.lora_[AB])\.default\.weight$")


@dataclass(frozen=True, slots=True)
class Adapter:
    """state: `{name}.lora_A.weight` (r, in) and `{name}.lora_B.weight` (out, r); the weight gains scale * B A."""

    state: State
    scale: float


def trained_adapter(folder: Path) -> Adapter:
    """Of a finished run of `stepscore train --lora`. Raises InvalidInput where it is not finished or has none."""
    manifest = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    if manifest["state"] != "finished":
        raise InvalidInput(f"{folder} holds a run that is not finished", path=str(folder))
    checkpoints = (folder / "checkpoints").glob("checkpoint-*/trained.safetensors")
    newest = max(checkpoints, key=lambda file: int(file.parent.name.rpartition("-")[2]))
    found = {match: tensor for key, tensor in load_file(newest).items() if (match := _TRAINED.match(key))}
    lora = manifest["run"]["plan"]["lora"]
    if not found:
        raise InvalidInput(f"{folder} was trained without --lora", path=str(folder))
    return Adapter(
        {f"{match['name']}.weight": tensor for match, tensor in found.items()},
        (lora["alpha"] or 2 * lora["rank"]) / lora["rank"],
    )


def stacked(adapters: Sequence[Adapter]) -> Adapter:
    """One adapter that adds what all of them add: their ranks side by side, scales inside B. In bfloat16."""
    names = sorted({key.removesuffix(_DOWN) for each in adapters for key in each.state if key.endswith(_DOWN)})
    state: State = {}
    for name in names:
        having = [each for each in adapters if name + _DOWN in each.state]
        down = torch.cat([each.state[name + _DOWN].float() for each in having])
        up = torch.cat([each.scale * each.state[name + _UP].float() for each in having], dim=1)
        state |= {name + _DOWN: down.to(torch.bfloat16), name + _UP: up.to(torch.bfloat16)}
    return Adapter(state, 1.0)


def trained_head(folder: Path, layers: Sequence[str], token: int) -> State:
    """The head's layers of a run, and the embedding of its marker as `ROWS`. In bfloat16.

    layers: their names in the checkpoint. token: the marker's id. Raises InvalidInput if the run has no such head.
    """
    wanted = [EMBEDDING, *(f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias"))]
    found = {name: tensor.to(torch.bfloat16) for name, tensor in _tensors(folder, wanted)}
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise InvalidInput(f"{folder} was not trained with a head: it has no {', '.join(missing)}", path=str(folder))
    return {ROWS: found.pop(EMBEDDING)[[token]]} | found


def _tensors(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as opened:
            for name in set(names) & set(opened.keys()):
                yield name, opened.get_tensor(name)
