"""What a run writes: a checkpoint of a family that says how it is trained, or a policy that no family reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stepscore.checkpoint import folder_name
from stepscore.config import CheckpointFacts
from stepscore.errors import InvalidInput
from stepscore.family.registry import Family, Training, explain, families

POLICY = "causal"


@dataclass(frozen=True, slots=True)
class Output:
    """family: reads the checkpoint; None for a policy."""

    family: Family | None
    training: Training


def output_named(name: str) -> Output:
    """A family's name, or "causal". Raises InvalidInput with the names that exist."""
    if name == POLICY:
        return Output(None, Training("ForCausalLM"))
    trained = {family.name: (family, family.training) for family in families() if family.training}
    if name not in trained:
        raise InvalidInput(f"no output is called {name!r}; there are {', '.join((*trained, POLICY))}", output=name)
    return Output(*trained[name])


def check_name(output: str, folder: Path) -> None:
    """Some families are known by their names only. Raises InvalidInput if this one would be read as another."""
    wanted = output_named(output)
    if wanted.family is None:
        return
    shapes = {f"{layer}.weight": (1, 1) for layer in wanted.training.layers} | {"model.embed_tokens.weight": (1, 1)}
    config = {"architectures": ["Qwen2" + wanted.training.architecture], "model_type": "qwen2"}
    facts = CheckpointFacts(folder, folder_name(folder), config, shapes, "")
    found = explain(facts).family
    if found is None or found.name != wanted.family.name:
        read = "no family" if found is None else found.name
        raise InvalidInput(
            f"a folder called {folder.name} would be read as {read}; let --out hold the word {wanted.family.name} at "
            f"its beginning, or after - or _",
            out=str(folder),
        )
