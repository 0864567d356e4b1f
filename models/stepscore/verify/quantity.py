"""Quantities: a number with a unit, and whether two of them are the same amount.

Only exact conversions stand here: `5 km` is `5000 m`, an inch is 2.54 cm by definition. Temperatures, currencies of
different countries, months and everything else whose factor is a matter of rounding or of date stay apart.
"""

from __future__ import annotations

import re
from fractions import Fraction

from stepscore.verify.normal import form

_DOLLARS = re.compile(r"\\?\$\s*(?P<amount>[\d.,]+)")

_SCALES: dict[str, dict[str, str]] = {
    "length": {
        "km kilometer kilometre": "1000",
        "m meter metre": "1",
        "dm decimeter decimetre": "1/10",
        "cm centimeter centimetre": "1/100",
        "mm millimeter millimetre": "1/1000",
        "in inch inche": "0.0254",
        "ft foot feet": "0.3048",
        "yd yard": "0.9144",
        "mi mile": "1609.344",
    },
    "mass": {
        "t ton tonne": "1000",
        "kg kilo kilogram": "1",
        "g gram": "1/1000",
        "mg milligram": "1/1000000",
    },
    "weight": {"lb lbs pound": "16", "oz ounce": "1"},
    "volume": {
        "l liter litre": "1",
        "dl deciliter decilitre": "1/10",
        "cl centiliter centilitre": "1/100",
        "ml milliliter millilitre": "1/1000",
    },
    "kitchen": {"gal gallon": "16", "quart": "4", "pint": "2", "cup": "1"},
    "time": {
        "week wk": "604800",
        "day": "86400",
        "h hr hour": "3600",
        "min minute": "60",
        "s sec second": "1",
    },
    "years": {"year yr": "12", "month": "1"},
    "money": {"dollar usd buck": "100", "cent ¢": "1"},
    "count": {"dozen": "12"},
}
"""For each kind of quantity its units (space-separated spellings, singular) and what one of them is worth."""

_UNITS = {
    spelling: (kind, Fraction(worth))
    for kind, units in _SCALES.items()
    for spellings, worth in units.items()
    for spelling in spellings.split()
}


def same_quantity(one: str, other: str) -> bool | None:
    """Whether two answers name the same amount, or the same share where one of them is a percentage.

    None where they are not two amounts of one kind, nor a percentage and a number.
    """
    first, second = _amount(one), _amount(other)
    if first is not None and second is not None and first[0] == second[0]:
        return first[1] == second[1]
    if "%" in one or "%" in other:
        return _same_share(one, other) if "%" in one else _same_share(other, one)
    return None


def _amount(answer: str) -> tuple[str, Fraction] | None:
    """Kind and size in that kind's base unit; None for what is no number with a unit known here."""
    dollars = _DOLLARS.fullmatch(answer.strip())
    known = form(f"{dollars['amount']} dollar" if dollars else answer)
    if known.number is None or known.unit not in _UNITS:
        return None
    kind, worth = _UNITS[known.unit]
    return kind, known.number * worth


def _same_share(percentage: str, other: str) -> bool | None:
    """A percentage equals its fraction, and its own number where the sign was left out."""
    first, second = _number(percentage), _number(other)
    if first is None or second is None:
        return None
    return first == second if "%" in other else second in (first, first / 100)


def _number(answer: str) -> Fraction | None:
    return form(answer.replace("\\%", "").replace("%", "")).number
