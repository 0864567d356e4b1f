"""Verifiers and step checkers by name, some with an option after a colon: `numeric:0.01`, `code:weak`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from stepscore.errors import InvalidOption
from stepscore.verify.arithmetic import ArithmeticChecker
from stepscore.verify.checker import StepChecker
from stepscore.verify.code_verifier import CodeVerifier
from stepscore.verify.exact import ExactVerifier
from stepscore.verify.formal import CoqChecker
from stepscore.verify.math_verifier import MathVerifier
from stepscore.verify.numeric import NumericVerifier
from stepscore.verify.verifier import Verifier

OpenedT = TypeVar("OpenedT")


def open_verifier(name: str) -> Verifier:
    """math and numeric (option: relative tolerance), exact, code (option weak: accept less than full sandbox).

    Raises InvalidOption for an unknown name or option, and SandboxUnavailable if programs cannot be sandboxed.
    """
    kind, _, option = name.partition(":")
    return _choose(VERIFIERS, kind, "verifier")(option)


def open_checker(name: str) -> StepChecker:
    """arithmetic, coq (option weak, as code's).

    Raises InvalidOption for an unknown name or option, ToolMissing without coqc, and SandboxUnavailable.
    """
    kind, _, option = name.partition(":")
    return _choose(CHECKERS, kind, "checker")(option)


def _choose(known: dict[str, Callable[[str], OpenedT]], name: str, what: str) -> Callable[[str], OpenedT]:
    """What opens the named one. Raises InvalidOption with the names that there are."""
    if name not in known:
        names = ", ".join(known)
        raise InvalidOption(f"No {what} is called {name!r}; choose one of {names}.", option=what, known=list(known))
    return known[name]


def _plain(kind: Callable[[], OpenedT]) -> Callable[[str], OpenedT]:
    def open_plain(option: str) -> OpenedT:
        if option:
            raise InvalidOption(f"it has no option {option!r}", option="verifier", known=[])
        return kind()

    return open_plain


def _numeric(option: str) -> Verifier:
    try:
        return NumericVerifier(float(option)) if option else NumericVerifier()
    except ValueError as error:
        raise InvalidOption(f"numeric:{option}: {option!r} is not a tolerance", option="verifier", known=[]) from error


def _math(option: str) -> Verifier:
    try:
        return MathVerifier(float(option) if option else 0.0)
    except ValueError as error:
        raise InvalidOption(f"math:{option}: {option!r} is not a tolerance", option="verifier", known=[]) from error


def _weak(option: str) -> bool:
    if option not in ("", "weak"):
        raise InvalidOption(f"there is no option {option!r} here; it knows weak", option="verifier", known=["weak"])
    return option == "weak"


VERIFIERS: dict[str, Callable[[str], Verifier]] = {
    "math": _math,
    "numeric": _numeric,
    "exact": _plain(ExactVerifier),
    "code": lambda option: CodeVerifier(weak=_weak(option)),
}

CHECKERS: dict[str, Callable[[str], StepChecker]] = {
    "arithmetic": _plain(ArithmeticChecker),
    "coq": lambda option: CoqChecker(weak=_weak(option)),
}
