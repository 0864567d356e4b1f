"""Verifiers by name."""

from __future__ import annotations

from collections.abc import Callable

from stepscore.errors import InvalidOption
from stepscore.verify.math_verifier import MathVerifier
from stepscore.verify.verifier import Verifier

VERIFIERS: dict[str, Callable[[], Verifier]] = {"math": MathVerifier}


def open_verifier(name: str) -> Verifier:
    """Raises InvalidOption for an unknown name."""
    if name not in VERIFIERS:
        known = ", ".join(VERIFIERS)
        raise InvalidOption(f"No verifier is called {name!r}; choose one of {known}.", option="verifier", known=known)
    return VERIFIERS[name]()
