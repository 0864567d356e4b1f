"""Whether a folder's name leads the service to the family that its checkpoint is written for."""

from __future__ import annotations

from pathlib import Path

from stepscore.checkpoint import folder_name
from stepscore.config import CheckpointFacts
from stepscore.errors import InvalidInput
from stepscore.family.registry import explain
from stepscore_service.jobs.modeling.outputs import output_named


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
