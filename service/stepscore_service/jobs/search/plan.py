"""What a search run is asked to do, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from stepscore.errors import InvalidOption
from stepscore.policy import Policy
from stepscore.search.methods import SearchMethod, search_method
from stepscore.search.policy import StepSampling
from stepscore.search.searcher import SearchBudget

SIZES = {"rebase": "width", "mcts": "simulations"}
"""What `--n` means for methods that have no option n."""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """in_flight: problems at once. aggregate: of step rewards for the final choice; "" is the model's own."""

    method: SearchMethod
    policy: Policy
    sampling: StepSampling
    budget: SearchBudget = field(default_factory=SearchBudget)
    aggregate: str = ""
    choice: str = ""
    in_flight: int = 8

    def identity(self) -> dict[str, Any]:
        """What results depend on. Sizes of calls and kinds of hardware are no part of it."""
        sampling = {name: value for name, value in asdict(self.sampling).items() if name != "is_complete"}
        policy = asdict(self.policy) | {"revision": self.policy.revision}
        for name in ("device", "gpus"):
            del policy[name]
        return {
            "method": self.method.name,
            "options": asdict(self.method.options),
            "policy": policy,
            "sampling": sampling,
            "budget": asdict(self.budget),
            "aggregate": self.aggregate,
            "choice": self.choice,
        }


def parse_method(text: str, *, n: int | None = None, width: int | None = None) -> SearchMethod:
    """A method as a person writes it: `beam` or `beam:n=8,width=4`.

    n, width: options given beside the text; n is the width of rebase and the simulations of mcts. Raises InvalidOption,
    also for an option that the method does not have.
    """
    name, _, given = text.partition(":")
    options: dict[str, int | float | bool | str] = {}
    if n is not None:
        options[SIZES.get(name, "n")] = n
    if width is not None:
        options["width"] = width
    for part in filter(None, given.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise InvalidOption(f"{part!r} is not an option; write {name}:n=8 or {name}:n=8,width=4", option=part)
        if key.strip() in options:
            raise InvalidOption(f"{key.strip()} of {name} is given twice", option=key.strip())
        options[key.strip()] = _value(value.strip())
    return search_method(name, options)


def method_label(method: SearchMethod) -> str:
    """The method with the options that differ from its defaults, as `parse_method` reads it."""
    before, now = asdict(search_method(method.name).options), asdict(method.options)
    changed = [f"{key}={value}" for key, value in now.items() if before[key] != value]
    return method.name + (f":{','.join(changed)}" if changed else "")


def _value(text: str) -> int | float | bool | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
