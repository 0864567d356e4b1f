"""What a run writes: a checkpoint of a family that says how it is trained, or a policy that no family reads."""

from __future__ import annotations

from dataclasses import dataclass

from stepscore.errors import InvalidInput
from stepscore.family.registry import Family, Training, families

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
