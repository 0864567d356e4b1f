"""Methods by name."""

from __future__ import annotations

from collections.abc import Callable

from stepscore.errors import InvalidOption
from stepscore.verify.open import open_checker
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.label.methods.base import Method, Options
from stepscore_service.jobs.label.methods.binary_search import BinarySearch
from stepscore_service.jobs.label.methods.check import Check
from stepscore_service.jobs.label.methods.monte_carlo import MonteCarlo
from stepscore_service.jobs.label.methods.omega import Omega

ROLLOUT_METHODS: dict[str, Callable[[Options, Verifier], Method]] = {
    "monte-carlo": MonteCarlo,
    "binary-search": BinarySearch,
    "omega": Omega,
}
CHECK = "check:"
KNOWN = (*ROLLOUT_METHODS, f"{CHECK}arithmetic", f"{CHECK}coq")


def needs_policy(name: str, samples: int) -> bool:
    """Whether the method asks for rollouts; a checker does only where solutions are to be sampled."""
    return not name.startswith(CHECK) or samples > 0


def open_method(name: str, options: Options, verifier: Verifier) -> Method:
    """name: of KNOWN; `check:NAME` takes the step checker of that name. Raises InvalidOption."""
    if name.startswith(CHECK):
        return Check(options, verifier, open_checker(name.removeprefix(CHECK)))
    if name not in ROLLOUT_METHODS:
        known = ", ".join(KNOWN)
        raise InvalidOption(f"No method is called {name!r}; choose one of {known}.", option="method", known=KNOWN)
    return ROLLOUT_METHODS[name](options, verifier)
