"""Arithmetic over exact fractions, from tokens; no `eval`, and an end to the size of everything."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NoReturn

from stepscore.verify.tokens import Token

DIGITS = 40
POWER = 32
DEPTH = 30


class Unreadable(Exception):
    """The tokens are not an expression, or one that is too large or has no value."""


def evaluate(tokens: Sequence[Token]) -> Fraction:
    """The value of an expression; a percentage is its number over 100. Raises Unreadable."""
    reader = _ExpressionReader(tokens)
    value = reader.sum(0)
    if reader.rest:
        raise Unreadable
    return value


class _ExpressionReader:
    """Recursive descent; each method takes what it reads from the front of `rest`."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.rest = list(tokens)

    def sum(self, depth: int) -> Fraction:
        if depth > DEPTH:
            raise Unreadable
        value = self._product(depth)
        while self._next("+-"):
            sign = self.rest.pop(0).text
            term = self._product(depth)
            value = value + term if sign == "+" else value - term
        return value

    def _product(self, depth: int) -> Fraction:
        """`2(3 + 4)` is a product too, except after a division, where people disagree on what it means."""
        value, divided = self._power(depth), False
        while self._next("*/") or (self.rest and self.rest[0].kind == "open"):
            sign = self.rest.pop(0).text if self.rest[0].kind == "operator" else "("
            factor = self._power(depth)
            if (sign == "(" and divided) or (sign == "/" and factor == 0):
                raise Unreadable
            divided = divided or sign == "/"
            value = value / factor if sign == "/" else value * factor
            _check_size(value)
        return value

    def _power(self, depth: int) -> Fraction:
        if self._next("+-"):
            sign = self.rest.pop(0).text
            return self._power(depth + 1) * (-1 if sign == "-" else 1) if depth < DEPTH else _fail()
        base = self._atom(depth)
        if not self._next("^"):
            return base
        self.rest.pop(0)
        exponent = self._power(depth + 1) if depth < DEPTH else _fail()
        if exponent.denominator != 1 or abs(exponent) > POWER or (base == 0 and exponent < 0):
            raise Unreadable
        return _check_size(base ** int(exponent))

    def _atom(self, depth: int) -> Fraction:
        token = self.rest.pop(0) if self.rest else _fail()
        if token.kind == "open":
            value = self.sum(depth + 1)
            if not self.rest or self.rest.pop(0).kind != "close":
                raise Unreadable
        elif token.kind == "number" and len(token.text) <= DIGITS:
            value = self._mixed_number(Fraction(token.text.replace(",", "")))
        else:
            raise Unreadable
        if self.rest and self.rest[0].kind == "percent":
            self.rest.pop(0)
            value /= 100
        return value

    def _mixed_number(self, whole: Fraction) -> Fraction:
        """`3 1/2`: a whole number beside a ratio of two."""
        parts = [token.text for token in self.rest[:3]]
        if len(parts) == 3 and parts[1] == "/" and parts[0].isdigit() and parts[2].isdigit() and int(parts[2]):
            del self.rest[:3]
            return whole + Fraction(int(parts[0]), int(parts[2]))
        return whole

    def _next(self, signs: str) -> bool:
        return bool(self.rest) and self.rest[0].kind == "operator" and self.rest[0].text in signs


def _check_size(value: Fraction) -> Fraction:
    if max(abs(value.numerator), value.denominator).bit_length() > 2000:
        raise Unreadable
    return value


def _fail() -> NoReturn:
    raise Unreadable
