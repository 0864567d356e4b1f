"""Units: what is known of them, and what an amount is worth in its kind's base unit.

Only exact conversions are here: `5 km` is `5000 m`, an inch is 2.54 cm by definition. Temperatures, currencies of
different countries, months and everything else whose factor is a matter of rounding or of date stay apart. Units are
multiplied and divided: `km/h`, `m^2`, `square feet`, `dollars per hour`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

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
        "l liter litre": "1/1000",
        "dl deciliter decilitre": "1/10000",
        "cl centiliter centilitre": "1/100000",
        "ml milliliter millilitre": "1/1000000",
    },
    "kitchen": {"gal gallon": "16", "qt quart": "4", "pint": "2", "cup": "1"},
    "time": {
        "week wk": "604800",
        "day": "86400",
        "h hr hour": "3600",
        "min minute": "60",
        "s sec second": "1",
        "ms millisecond": "1/1000",
    },
    "years": {"year yr": "12", "month": "1"},
    "money": {"dollar usd buck": "100", "cent ¢": "1"},
    "euro": {"euro eur €": "1"},
    "sterling": {"£ gbp": "100", "pence": "1"},
    "yen": {"yen ¥ jpy": "1"},
    "rupee": {"rupee ₹ inr": "1"},
    "angle": {"degree deg": "1"},
    "radian": {"radian rad": "1"},
    "percent": {"%": "1/100", "‰": "1/1000"},
    "count": {"dozen": "12"},
    "units": {"unit": "1"},
    "temperature": {"celsiu celsius °c": "1"},
    "fahrenheit": {"fahrenheit °f": "1"},
    "force": {"n newton": "1"},
    "energy": {"j joule": "1", "kj kilojoule": "1000"},
    "power": {"w watt": "1", "kw kilowatt": "1000"},
    "charge": {"v volt": "1"},
    "current": {"amp ampere": "1"},
    "frequency": {"hz hertz": "1"},
    "amount": {"mol mole": "1"},
}
"""For each kind of quantity its units (space-separated spellings, singular) and its worth (volumes: in m^3)."""

_UNITS = {
    spelling: (kind, Fraction(worth))
    for kind, units in _SCALES.items()
    for spellings, worth in units.items()
    for spelling in spellings.split()
}
_SPELLED = {
    "mph": "mile/hour",
    "kph": "km/h",
    "kmh": "km/h",
    "kmph": "km/h",
    "fps": "ft/s",
    "sqft": "ft^2",
    "cc": "cm^3",
}
_CHINESE = (
    ("平方", "square "), ("立方", "cubic "), ("千米", "km"), ("公里", "km"), ("厘米", "cm"), ("毫米", "mm"),
    ("分米", "dm"),
    ("米", "m"), ("千克", "kg"), ("公斤", "kg"), ("毫克", "mg"), ("克", "g"), ("毫升", "ml"), ("升", "l"),
    ("小时", "hour"),
    ("分钟", "minute"), ("秒", "second"), ("天", "day"), ("度", "degree"), ("每", " per "),
)  # fmt: skip
_PHRASES = (
    (re.compile(r"\b(?:square|sq\.?)\s+([a-z]+)"), r"\1^2"),
    (re.compile(r"\b(?:cubic|cu\.?)\s+([a-z]+)"), r"\1^3"),
    (re.compile(r"\b([a-z]+)(?:\s+squared\b|(?<=[mtdn])2\b)"), r"\1^2"),
    (re.compile(r"\b([a-z]+)(?:\s+cubed\b|(?<=[mtdn])3\b)"), r"\1^3"),
    (re.compile(r"\s*\b(?:per|an?(?=\s))\b\s*"), "/"),
    (re.compile(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\\cdot|\\times|\*"), "*"),
)
_FILLER = re.compile(
    r"\s+(?:left(?: over)?|in total|total|altogether|in all|more|each|remaining|of (?:the|a|an|it)\b.*|long|tall|old"
    r"|wide|away|away from .*|apart|total|overall|exactly)$"
)
_FACTOR = re.compile(r"([a-z¢€£¥₹%°\\^]+?)\s*(?:\^\s*\{?\s*(-?\d)\s*\}?)?")
_SYMBOLS = re.compile(r"(?<=[a-z\d}])\s+(?=[a-z]{1,3}(?![a-z]))")
"""Between the symbols of `m s^{-1}`."""
_SMALL_KINDS = 4


@dataclass(frozen=True, slots=True)
class Unit:
    """name: as compared. kind: what can be converted into it, "" for a noun that is not a known unit.

    worth: of one of it in the base unit of its kind. also: another unit of the same name, None without.
    """

    name: str
    kind: str = ""
    worth: Fraction = Fraction(1)
    also: Unit | None = None


PERCENT = Unit("%", "percent", Fraction(1, 100))
PER_MILLE = Unit("‰", "percent", Fraction(1, 1000))
HOUR = Unit("hour", "time", Fraction(3600))
STERLING = Unit("£", "sterling", Fraction(100))
DOLLAR = Unit("dollar", "money", Fraction(100))
SIGNS = {
    "$": DOLLAR,
    "€": Unit("€", "euro"),
    "£": STERLING,
    "¥": Unit("¥", "yen"),
    "₹": Unit("₹", "rupee"),
}
"""Currency signs, which go before the number or after it."""


def known_unit(words: str) -> Unit | None:
    """The unit that these words name; None if they name none that is known here."""
    text = words.strip().replace("^\\circ", " degree ").casefold().strip(" .,")
    for chinese, english in _CHINESE:
        text = text.replace(chinese, english)
    text = re.sub(r"\bdegree\s+([cf])\b", r"°\1", " ".join(text.split()))
    text = re.sub(r"\bdegrees?\s+(celsius|fahrenheit)\b", r"\1", text)
    text = re.sub(r"\b(?:us|u\.s\.)\s+dollars?\b", "dollar", text)
    while filler := _FILLER.search(text):
        text = text[: filler.start()]
    if text in ("pounds sterling", "pound sterling"):
        return STERLING
    if text in ("pound", "pounds"):
        return Unit("weight:16", "weight", Fraction(16), also=STERLING)
    text = _SPELLED.get(text, text)
    for pattern, replacement in _PHRASES:
        text = pattern.sub(replacement, text)
    return _product(text) or (_product(_SYMBOLS.sub("*", text)) if _SYMBOLS.search(text) else None)


def _product(text: str) -> Unit | None:
    """A product and quotient of known units."""
    kinds: dict[str, int] = {}
    worth = Fraction(1)
    for sign, part in zip("*" + "".join(re.findall(r"[*/]", text)), re.split(r"[*/]", text), strict=True):
        factor = _FACTOR.fullmatch(part.strip().rstrip("."))
        known = _UNITS.get(singular(factor[1])) or _UNITS.get(factor[1]) if factor else None
        if factor is None or known is None:
            return None
        power = int(factor[2] or 1) * (-1 if sign == "/" else 1)
        name, times = ("length", 3) if known[0] == "volume" else (known[0], 1)
        kinds[name] = kinds.get(name, 0) + times * power
        worth *= known[1] ** power
    kind = "*".join(f"{name}^{power}" if power != 1 else name for name, power in sorted(kinds.items()) if power)
    return Unit(f"{kind or 'ratio'}:{worth}", kind or "ratio", worth)


def singular(word: str) -> str:
    if len(word) > 2 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word
