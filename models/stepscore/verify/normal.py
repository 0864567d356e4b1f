r"""The plain form of an answer: what two spellings of one answer have in common before any algebra.

`$70,000`, `70000.` and `\text{70000}` are one form; `\frac{3}{4}`, `3/4` and `0.75` are one form; `50%` is its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,60})(?:\.\d{0,60})?|[-+]?\.\d{1,60}"
_PLAIN = re.compile(_NUMBER)
_FRACTION = r"\\frac\s*(?:\{(\d{1,60})\}|(\d))\s*(?:\{(\d{1,60})\}|(\d))|(\d{1,60}) ?/ ?(\d{1,60})"
_RATIO = re.compile(rf"([-+]?) ?(?:(\d{{1,60}}) ?(?=\\)|(\d{{1,60}}) (?=\d))?(?:{_FRACTION})")
_SCIENTIFIC = re.compile(r"[-+]?\d{1,30}(?:\.\d{1,30})?[eE][-+]?\d{1,2}")
_APART = re.compile(r"\d +(?!\d{3}(?!\d))\d|, ")
"""Numbers side by side are a list or nothing; a space only groups thousands."""

_WITH_UNIT = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<unit>[^\W\d_][^\d\\^_=+*/(){{}}\[\]|<>]*)")
_WORDS = re.compile(r"[^\W\d_][^\W\d_]{2,}|[^\W\d_]+(?:[\s,.'’-]+[^\W\d_]+)+")
_WRAPPERS = (
    re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|boxed|fbox)\s*\{([^{}]*)\}"),
    re.compile(r"^\\[\[(](.*)\\[\])]$", re.DOTALL),
    re.compile(r"^(?:\*\*|__|`)(.*)(?:\*\*|__|`)$", re.DOTALL),
)
_NOISE = re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\[!,;:]|\\\$|[$~°]|\^\{?\\circ\}?|\\ (?=\s|$)|\\displaystyle")


@dataclass(frozen=True, slots=True)
class Form:
    """An answer in its plain form.

    text: the form; equal texts are equal answers.
    number: its exact value where it is a number with a finite decimal expansion, else None.
    unit: the words after the number ("apple"), singular and in lower case; "" without.
    settled: no algebra can tell more about it: a number, or words.
    """

    text: str
    number: Fraction | None = None
    unit: str = ""
    settled: bool = False


def form(answer: str) -> Form:
    """The plain form of an answer; never fails, whatever the text."""
    text = _clean(answer)
    value = _value(text)
    if value is not None:
        return _numeric(value)
    with_unit = _WITH_UNIT.fullmatch(text)
    number = _value(with_unit["number"]) if with_unit else None
    if with_unit and number is not None:
        unit = _singular(with_unit["unit"])
        return Form(f"{_numeric(number).text} {unit}", number, unit, settled=True)
    if _WORDS.fullmatch(text):
        return Form(text.casefold(), settled=True)
    return Form(text)


def _clean(answer: str) -> str:
    text = answer.strip()
    for wrapper in _WRAPPERS:
        text = wrapper.sub(r"\1", text).strip()
    text = _NOISE.sub("", text).replace("\\%", "%").replace("−", "-")
    text = text.replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    return " ".join(text.split()).rstrip(".").rstrip()


def _numeric(value: Fraction) -> Form:
    """A fraction like 1/3 stays open: whether 0.333333 equals it is a matter of rounding, which math-verify decides."""
    if not _is_finite_decimal(value):
        return Form(str(value))
    with localcontext(prec=200):
        return Form(f"{(Decimal(value.numerator) / value.denominator).normalize():f}", value, settled=True)


def _is_finite_decimal(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _value(text: str) -> Fraction | None:
    ratio = _RATIO.fullmatch(text)
    if ratio:
        return _ratio(*ratio.groups())
    if _APART.search(text):
        return None
    compact = text.replace(" ", "")
    known = _PLAIN.fullmatch(compact) or _SCIENTIFIC.fullmatch(compact)
    return Fraction(compact.replace(",", "")) if known else None


def _ratio(sign: str, *parts: str | None) -> Fraction | None:
    """`3/4` and the mixed number `3 1/2`. parts: whole (two spellings), top (two), bottom (two), top and bottom."""
    numbers = [int(part) for part in parts if part]
    whole = numbers.pop(0) if len(numbers) == 3 else 0
    top, bottom = numbers
    if not bottom:
        return None
    value = whole + Fraction(top, bottom)
    return -value if sign == "-" else value


def _singular(unit: str) -> str:
    words = unit.strip(" .,").casefold()
    return words[:-1] if len(words) > 2 and words.endswith("s") else words
