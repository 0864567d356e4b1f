r"""The other side of `answer_pool`: a process that asks math-verify what a formula is. Run as a script.

One request a line on standard input, one reply a line on standard output.
{"key": text}: the canonical form of a formula as a JSON string (`5/2` for a rational number, 40 digits for another
number, values at fixed points for a formula with variables, intervals for an inequality); null if it cannot be read.
{"truth": text, "found": text}: true or false, what math-verify's `verify` says; null if one of the two cannot be read.
Formulas are LaTeX without `$`. A formula of which the parser reads only the beginning cannot be read.
The line `ready` comes before all else.

A separate process because SymPy can neither be stopped from outside nor kept from taking the interpreter lock for
minutes (`9^{9^{9^9}}`). An alarm goes off after SECONDS of processor time ("late"); if the lock is held, so that no
alarm is heard, the kernel ends the process some seconds later. Time that a busy machine gives to others does not count.
"""

from __future__ import annotations

import json
import logging
import math
import resource
import signal
import sys
from contextlib import suppress
from fractions import Fraction
from random import Random
from typing import Any

import mpmath
import sympy
from antlr4 import Token
from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy
from math_verify import verify
from math_verify.grader import should_treat_as_complex
from sympy import (
    And,
    Eq,
    Expr,
    FiniteSet,
    Float,
    Interval,
    MatrixBase,
    Or,
    Rational,
    Rel,
    Set,
    Symbol,
    Tuple,
    Union,
)

SECONDS = 1.0
LAST_SECONDS = 2.0
MEMORY_BYTES = 4 << 30
DIGITS = 60
KEPT = 40
LARGEST_DENOMINATOR = 10**9
NOISE = mpmath.mpf(10) ** -50
"""What is left where the terms of a sum cancel each other, computed with DIGITS."""
POINTS = ((0.5, 2.0), (-2.0, -0.5), (2.0, 3.0))
"""Where formulas with variables are compared: a random number of each range for every name.

Not at the negative point if a formula without i is not real there: which root is meant depends on how one writes it.
"""

STEPPED = (sympy.floor, sympy.ceiling, sympy.Abs, sympy.sign, sympy.Mod, sympy.Piecewise)
"""What may be one number at all points without being constant."""


class _OutOfTime(BaseException):
    """Not an Exception: math-verify swallows those."""


class _Unreadable(Exception):
    pass


class _WholeFormula(_Latex2Sympy):  # type: ignore[misc]
    """A reader that knows whether it has come to the end of the formula."""

    def create_parser(self, latex_str: str) -> Any:
        self.parser = super().create_parser(latex_str)
        return self.parser

    @property
    def has_ended(self) -> bool:
        return bool(self.parser.getTokenStream().LA(1) == Token.EOF)


def _parse(formula: str) -> Any:
    """The one reading of a formula. Raises _Unreadable, or what the parser raises, if it is not one as a whole."""
    reader = _WholeFormula(is_real=not should_treat_as_complex(formula))
    parsed = reader.parse(formula)
    if parsed is None or not reader.has_ended or parsed.has(sympy.Derivative):
        raise _Unreadable
    return _with_imaginary_unit(parsed)


def _with_imaginary_unit(parsed: Any) -> Any:
    """The letter i as the imaginary unit, unless it is one of several indices or unit vectors."""
    units = [one for one in parsed.free_symbols if one.name == "i"]
    if not units or {one.name for one in parsed.free_symbols} & {"j", "k"}:
        return parsed
    return parsed.subs(dict.fromkeys(units, sympy.I))


def _key(formula: str) -> str | None:
    with suppress(
        _Unreadable, TypeError, ValueError, OverflowError, ArithmeticError, NotImplementedError, AttributeError
    ):
        return _of(_parse(formula))
    return None


def _of(one: Any) -> str:
    if isinstance(one, MatrixBase):
        rows = ("[" + ",".join(_of(one[r, c]) for c in range(one.cols)) + "]" for r in range(one.rows))
        return "[" + ",".join(rows) + "]"
    if isinstance(one, FiniteSet):
        return "{" + ",".join(sorted({_of(each) for each in one.args})) + "}"
    if isinstance(one, Tuple):
        return "(" + ",".join(_of(each) for each in one.args) + ")"
    if isinstance(one, Interval):
        return f"{'(' if one.left_open else '['}{_of(one.start)},{_of(one.end)}{')' if one.right_open else ']'}"
    if isinstance(one, Union):
        return "∪".join(sorted(_of(each) for each in one.args))
    if isinstance(one, Set):
        return f"set {one}"
    if isinstance(one, Rel | And | Or):
        return _of_relation(one)
    if not isinstance(one, Expr):
        raise _Unreadable
    return _of_value(one)


def _of_relation(one: Any) -> str:
    if isinstance(one, Eq) and isinstance(one.lhs, Symbol) and not one.rhs.has(one.lhs):
        return _of(one.rhs)
    if len(one.free_symbols) == 1 and not isinstance(one, Eq):
        real = Symbol("x", real=True)
        return _of(one.subs(dict.fromkeys(one.free_symbols, real)).as_set())
    if isinstance(one, And | Or):
        return f"{type(one).__name__}(" + ",".join(sorted(_of_relation(each) for each in one.args)) + ")"
    sides = one.lhs - one.rhs
    names = {"StrictLessThan": "<", "LessThan": "<=", "Equality": "=", "Unequality": "!="}
    if isinstance(one, sympy.GreaterThan | sympy.StrictGreaterThan):
        sides, name = -sides, "<=" if isinstance(one, sympy.GreaterThan) else "<"
    else:
        name = names[type(one).__name__]
    first, second = (_at(sides, point) for point in POINTS[:2])
    if not first:
        raise _Unreadable
    sign = "" if name in ("=", "!=") else ("+" if first.real > 0 else "-")
    return f"{sign}{name}{_digits(second / first)}"


def _of_value(one: Any) -> str:
    if one in (sympy.oo, -sympy.oo, sympy.zoo):
        return str(one)
    if one.has(sympy.nan) or one.has(sympy.core.function.AppliedUndef):
        raise _Unreadable
    if not one.free_symbols:
        if isinstance(one, Rational):
            return str(Fraction(int(one.p), int(one.q)))
        return _digits(_at(one, POINTS[0]))
    values = [_at(one, point) for point in POINTS]
    if values[1].imag and not one.has(sympy.I):
        del values[1]
    shown = [_digits(value) for value in values]
    if len(set(shown)) == 1 and not one.has(*STEPPED):
        return shown[0]
    return f"{len(one.free_symbols)}?" + ";".join(shown)


def _at(one: Any, point: tuple[float, float]) -> Any:
    values = {symbol: Float(Random(symbol.name).uniform(*point), DIGITS) for symbol in one.free_symbols}
    exact = one.doit().xreplace({number: Rational(str(number)) for number in one.atoms(Float)})
    value = sympy.N(exact.subs(values), DIGITS)
    with mpmath.workdps(DIGITS):
        real, imaginary = value.as_real_imag()
        if not (real.is_Float or real.is_Integer or real.is_Rational) or not imaginary.is_number:
            raise _Unreadable
        found = mpmath.mpc(str(real), str(imaginary))
    return mpmath.mpc(0) if values and one.has(sympy.Add) and abs(found) < NOISE else found


def _digits(value: Any) -> str:
    with mpmath.workdps(DIGITS):
        parts = [_decimal(part, abs(value)) for part in (value.real, value.imag)]
        return parts[0] if parts[1] == "0" else f"{parts[0]}+{parts[1]}i"


def _decimal(part: Any, size: Any) -> str:
    """As a fraction if it is one with a small denominator, else to KEPT digits."""
    if not part or abs(part) < size * mpmath.mpf(10) ** -(KEPT + 5):
        return "0"
    text = (
        mpmath.nstr(part, DIGITS - 4, min_fixed=-(10**9), max_fixed=10**9) if abs(mpmath.log10(abs(part))) < 300 else ""
    )
    if text:
        exact = Fraction(text)
        near = exact.limit_denominator(LARGEST_DENOMINATOR)
        if near and abs(near - exact) <= abs(exact) / 10 ** (KEPT + 5):
            return str(near)
    return str(mpmath.nstr(part, KEPT))


def _verify(truth: str, found: str) -> bool:
    return bool(verify(_parse(truth), _parse(found), float_rounding=15, numeric_precision=30, timeout_seconds=None))


def _answer(request: dict[str, str]) -> Any:
    _limit_processor_time()
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            return _key(request["key"]) if "key" in request else _verify(request["truth"], request["found"])
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except _OutOfTime:
        return {"late": True}
    except (MemoryError, RecursionError):
        return {"late": True}
    except Exception:  # SymPy raises whatever it likes on formulas that it cannot do
        return None


def _limit_processor_time() -> None:
    """The kernel kills the process LAST_SECONDS of processor time from now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    end = math.ceil(used.ru_utime + used.ru_stime + LAST_SECONDS)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (end if hard == resource.RLIM_INFINITY else min(end, hard), hard))


def _late(signum: int, frame: object) -> None:
    raise _OutOfTime


def main() -> None:
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGVTALRM, _late)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The first question builds the grammar, which may take longer than an answer is given.
    _verify("(x+1)^2", "x^2+2x+1")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
