"""What a search run is asked to do, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from stepscore.config import Device, DType
from stepscore.errors import InvalidOption
from stepscore.generate.policy import Policy, policy_at
from stepscore.search.methods import SearchMethod, search_method
from stepscore.search.policy import StepSampling
from stepscore.search.searcher import SearchBudget
from stepscore_service.jobs.search.options import SearchOptions

OptionValue = int | float | bool | str


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
        """What results depend on. Sizes of calls and kinds of hardware are not part of it."""
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


def plan_of(method: SearchMethod, options: SearchOptions, device: Device = "auto", dtype: DType = "auto") -> SearchPlan:
    """Raises InvalidOption."""
    policy = policy_at(options.policy, options.prompt, device, dtype)
    policy.check()
    sampling = StepSampling(
        separator=options.separator.replace("\\n", "\n"),
        temperature=options.policy_temperature,
        step_tokens=options.step_tokens,
        solution_tokens=options.solution_tokens,
        seed=options.seed,
    )
    budget = SearchBudget(options.budget_tokens, options.budget_rounds, options.budget_seconds)
    return SearchPlan(method, policy, sampling, budget, options.aggregate, options.choice, options.in_flight)


def parse_method(text: str, *, n: int | None = None, width: int | None = None) -> SearchMethod:
    """A method as a person writes it: `beam` or `beam:n=8,width=4`.

    n, width: options given beside the text. Raises InvalidOption, also for an option that the method does not have and
    for two different values of one.
    """
    name, _, given = text.partition(":")
    name = name.strip()
    beside = {"n": n, "width": width}
    pairs: list[tuple[str, OptionValue]] = [(key, value) for key, value in beside.items() if value is not None]
    pairs += [_option(name, part) for part in given.split(",") if part.strip()]
    options: dict[str, OptionValue] = {}
    for key, value in pairs:
        if options.setdefault(key, value) != value:
            message = f"{key} of {name} is given as {options[key]} and as {value}; give it once"
            raise InvalidOption(message, option=key)
    return search_method(name, options)


def _option(name: str, part: str) -> tuple[str, OptionValue]:
    key, equals, value = part.partition("=")
    if not equals:
        raise InvalidOption(f"{part!r} is not an option; write {name}:n=8 or {name}:n=8,width=4", option=part)
    return key.strip(), _value(value.strip())


def method_label(method: SearchMethod) -> str:
    """The method with the options that differ from its defaults, as `parse_method` reads it."""
    before, now = asdict(search_method(method.name).options), asdict(method.options)
    changed = [f"{key}={value}" for key, value in now.items() if before[key] != value]
    return method.name + (f":{','.join(changed)}" if changed else "")


def _value(text: str) -> OptionValue:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
