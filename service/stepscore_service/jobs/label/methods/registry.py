"""Methods by name."""

from __future__ import annotations

from collections.abc import Callable

from stepscore.errors import InvalidOption
from stepscore.verify.open import open_checker
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.label.methods.base import LabelMethod
from stepscore_service.jobs.label.methods.binary_search import BinarySearch
from stepscore_service.jobs.label.methods.check import Check
from stepscore_service.jobs.label.methods.monte_carlo import MonteCarlo
from stepscore_service.jobs.label.methods.omega import Omega
from stepscore_service.jobs.label.options import MethodOptions

ROLLOUT_METHODS: dict[str, Callable[[MethodOptions, Verifier], LabelMethod]] = {
    "monte-carlo": MonteCarlo,
    "binary-search": BinarySearch,
    "omega": Omega,
}
CHECK = "check:"
KNOWN = (*ROLLOUT_METHODS, f"{CHECK}arithmetic", f"{CHECK}coq")


def needs_policy(options: MethodOptions) -> bool:
    """Whether the method asks for rollouts; a checker does only if solutions are to be sampled."""
    return not options.name.startswith(CHECK) or options.samples > 0


def open_method(options: MethodOptions, verifier: Verifier) -> LabelMethod:
    """The name is one of KNOWN; `check:NAME` takes the step checker of that name. Raises InvalidOption."""
    name = options.name
    if name.startswith(CHECK):
        return Check(options, verifier, open_checker(name.removeprefix(CHECK)))
    if name not in ROLLOUT_METHODS:
        known = ", ".join(KNOWN)
        raise InvalidOption(f"No method is called {name!r}; choose one of {known}.", option="method", known=KNOWN)
    return ROLLOUT_METHODS[name](options, verifier)
