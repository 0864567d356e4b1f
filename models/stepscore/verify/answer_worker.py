"""The other side of `judge`: a process that asks math-verify whether answers are equal. Run as a script.

One request a line on standard input: {"answers": [text], "settled": [bool]}. One reply a line on standard output for
each answer, as soon as it is known: the index of the first answer that it equals, its own where there is none, and 1
where all its comparisons came to an end, 0 where one was cut short or the text says nothing that can be compared. Two
settled answers are never compared: the caller knows that they differ. The line `ready` comes before all else.

A process of its own because SymPy can neither be stopped from outside nor kept from taking the interpreter lock for
minutes (`9^{9^{9^9}}`); alarms work here, in a main thread, and the caller can kill it.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from math_verify import parse, verify
from sympy import Eq, Expr, FiniteSet, Float, Ne, Rel, Symbol, Tuple

SECONDS = 1.0
MEMORY_BYTES = 4 << 30


class _Late(BaseException):
    """Not an Exception: math-verify swallows those."""


@dataclass(frozen=True)
class _Parsed:
    """What math-verify read in an answer, and its values at a fixed point (None where it is no number or list)."""

    expressions: list[Any]
    values: list[complex] | None
    settled: bool

    @property
    def readable(self) -> bool:
        """math-verify keeps the bare text of what it cannot read."""
        return self.settled or any(not isinstance(expression, str) for expression in self.expressions)


@contextmanager
def _limited() -> Iterator[None]:
    """Stops what computes longer than SECONDS of its own, however busy the machine.

    What was stopped counts as not known to be equal, like everything that SymPy cannot do.
    """
    with suppress(_Late, MemoryError, RecursionError):
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _parsed(answer: str, settled: bool) -> _Parsed:
    expressions: list[Any] = []
    values = None
    with _limited():
        expressions = parse(f"${answer}$", parsing_timeout=None)
    with _limited():
        values = _values(expressions[0]) if expressions and "%" not in answer else None
    with _limited():
        expressions = expressions + [_solved(one) for one in expressions if _is_range(one)]
    return _Parsed(expressions, values, settled)


def _is_range(expression: Any) -> bool:
    return isinstance(expression, Rel) and not isinstance(expression, Eq | Ne) and len(expression.free_symbols) == 1


def _solved(inequality: Any) -> Any:
    """`x <= 3` as the interval that it describes, in which form others write the same answer."""
    return inequality.as_set()


def _values(expression: Any) -> list[complex] | None:
    """An expression, the right side of `x = …` or the members of a list, at a fixed point. Equal ones agree there."""
    if isinstance(expression, Eq) and isinstance(expression.lhs, Symbol):
        expression = expression.rhs
    members = expression.args if isinstance(expression, FiniteSet | Tuple) else [expression]
    with suppress(TypeError, ValueError, OverflowError, ArithmeticError):
        return sorted((_value(member) for member in members), key=lambda value: (value.real, value.imag))
    return None


def _value(expression: Any) -> complex:
    """The point depends on nothing but the names of the symbols. Raises TypeError for what is no single number."""
    if not isinstance(expression, Expr):
        raise TypeError
    point = {symbol: Float(Random(symbol.name).uniform(1.0, 2.0)) for symbol in expression.free_symbols}
    return complex(expression.subs(point).evalf(15))


def _far(one: list[complex], other: list[complex]) -> bool:
    pairs = zip(one, other, strict=False)
    return len(one) != len(other) or any(not abs(a - b) <= 1e-5 * max(1.0, abs(a), abs(b)) for a, b in pairs)


def _equal(one: _Parsed, other: _Parsed) -> bool | None:
    """None where it is not known: the comparison was cut short, or one of the two is nothing but text."""
    if one.settled and other.settled:
        return False
    if one.values is not None and other.values is not None and _far(one.values, other.values):
        return False
    same: bool | None = None
    with _limited():
        same = bool(verify(one.expressions, other.expressions, timeout_seconds=None))
        same = same or bool(verify(other.expressions, one.expressions, timeout_seconds=None))
    return same if same or (one.readable and other.readable) else None


def _answer(request: dict[str, list[Any]]) -> Iterator[tuple[int, bool]]:
    firsts: dict[int, _Parsed] = {}
    for index, (text, settled) in enumerate(zip(request["answers"], request["settled"], strict=True)):
        parsed, first, sure = _parsed(text, settled), index, True
        for at, known in firsts.items():
            same = _equal(known, parsed)
            sure = sure and same is not None
            if same:
                first, sure = at, True
                break
        if first == index:
            firsts[index] = parsed
        yield first, sure


def _late(signum: int, frame: object) -> None:
    raise _Late


def main() -> None:
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGVTALRM, _late)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # The first question builds the grammar, which may take longer than an answer is given.
    verify(parse("$(x+1)^2$", parsing_timeout=None), parse("$x^2+2x+1$", parsing_timeout=None), timeout_seconds=None)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        for first, sure in _answer(json.loads(line)):
            sys.stdout.write(f"{first} {sure:d}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
