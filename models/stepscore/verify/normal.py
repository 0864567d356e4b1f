r"""The structure of an answer: lists, tuples and intervals of numbers, words and formulas, with units.

`$70,000`, `70000.` and `\text{70000} dollars` are one number; `\frac{3}{4}`, `3/4` and `0.75` are one number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from stepscore.verify.quantity import PERCENT, SIGNS, Unit, known_unit, singular
from stepscore.verify.spelling import spell

_DIGITS = r"(?:\d{1,3}(?:[, ']\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d{1,60})(?:\.\d{0,60})?|\.\d{1,60}"
_PLAIN = re.compile(rf"([-+]?)\s*({_DIGITS})")
_RATIO = re.compile(
    r"([-+]?)\s*(?:(\d{1,60})\s*(?:\s|and|(?=\\))\s*)?(?:\\frac\s*\{\s*(-?\d{1,60})\s*\}\s*\{\s*(\d{1,60})\s*\}|(\d{1,60})\s?/\s?(\d{1,60}))"
)
_SCIENTIFIC = re.compile(
    rf"([-+]?)\s*(?:({_DIGITS})\s*(?:\\times|\\cdot|x|\*)\s*)?10\s*(?:\^|\*\*)\s*\{{?\s*\(?\s*([-+]?\d{{1,3}})\s*\)?\s*\}}?"
)
_EXPONENT = re.compile(r"([-+]?)(\d{1,30}(?:\.\d{1,30})?)[eE]([-+]?\d{1,3})")
_REPEATING = re.compile(r"([-+]?)(\d{0,30})\.(\d{0,30})\\(?:overline|bar|dot)\s*\{?(\d{1,30})\}?")
_BASE = re.compile(r"([0-9A-Fa-f]+)\s*(?:_\s*\{?\s*\(?\s*(\w+)\s*\)?\s*\}?|\(?\s*(?:in )?base[ -]?(\w+)\)?)")
_TIME = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?\s*((?:[ap]\.?\s?m\.?)?)", re.IGNORECASE)
_PROPORTION = re.compile(r"(\d{1,30})\s*(?::|\s+to\s+)\s*(\d{1,30})")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DATE = re.compile(
    rf"(?:({'|'.join(_MONTHS)})[a-z]*\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?|(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({'|'.join(_MONTHS)})[a-z]*\.?)"
    r"(?:,?\s+(\d{4}))?",
    re.IGNORECASE,
)
_NUMBER_WORDS = {
    word: at
    for at, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
}
_NOT_UNITS = frozenset(
    [
        "squared",
        "cubed",
        "less",
        "more",
        "than",
        "plus",
        "minus",
        "times",
        "half",
        "twice",
        "double",
        "triple",
        "dozen",
        "dozens",
        "hundred",
        "thousand",
        "million",
        "billion",
        "trillion",
        "percent",
        "of",
        "pi",
        "over",
        "by",
        "divided",
        "multiplied",
        "mod",
        "modulo",
        "remainder",
        "factorial",
        "choose",
        "base",
        "power",
        "root",
        "sin",
        "cos",
        "tan",
        "log",
        "ln",
        "sqrt",
        "or",
        "to",
        "fewer",
        "greater",
        "raised",
        "exponent",
        "if",
        "is",
        "are",
    ]
)
_ORDINAL = re.compile(r"(\d+)\s*(?:\^\s*\{?\s*)?(?:st|nd|rd|th)\s*\}?")
_MAGNITUDES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_WORDS = re.compile(r"[^\W\d_][^\W\d_]+(?:[\s.'’\"&/-]+[^\W\d_]+)*[.!]?|[^\W\d_]{2,}")
_LABEL = re.compile(r"\\?[a-zA-Z]+(?:_\{?\w+\}?)?'*(?:\s*\(\s*[\w\s,]*\s*\))?\s*=(?!=)\s*")
_IN = re.compile(r"[a-zA-Z]\s*\\in\s+(?=[\[(\\{]|\\mathbb)")
_SEPARATOR = re.compile(r"\s*(?:[,;]|\band\b|\bor\b|\\lor|\\vee|[、和或])\s*")
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_TRAILING = re.compile(r"(?P<value>.*[\d)}\]a-z])(?P<gap>\s*)(?P<unit>(?:[a-zA-Z%°€£¥₹$\\]|\^\s*\\circ).*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Value:
    """text: its form; of a formula what algebra is to read. number: its exact value if it is a number written out.

    unit: None without. shown: the number beside the unit. settled: no algebra can tell more about it.
    label: the left side of `x = …`.
    """

    text: str
    number: Fraction | None = None
    unit: Unit | None = None
    settled: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Several values. opening, closing: its brackets; "{" for a set and for a list without brackets."""

    opening: str
    closing: str
    items: tuple[Answer, ...]


Answer = Value | Row


def read_structure(answer: str, depth: int = 0) -> Answer:
    """The structure of an answer; never fails, whatever the text."""
    text = spell(answer)
    text = _IN.sub("", text, count=1) if _IN.match(text) else text
    scalar = _scalar(text)
    if scalar is not None or depth > 3 or len(text) > 2000:
        return scalar or Value(text)
    union = _split(text, re.compile(r"\s*\\cup\s*"))
    if len(union) > 1:
        return Row("∪", "∪", tuple(read_structure(part, depth + 1) for part in union))
    bracketed = _bracketed(text, depth)
    if bracketed is not None:
        return bracketed
    parts = [part for part in _split(text, _SEPARATOR) if part]
    if len(parts) > 1 and all(_can_stand_in_a_list(part) for part in parts):
        items = tuple(read_structure(part, depth + 1) for part in parts)
        return _assignments(items) or Row("{", "}", items)
    if text.count(r"\pm") == 1 and len(parts) == 1:
        return Row("{", "}", tuple(read_structure(text.replace(r"\pm", sign), depth + 1) for sign in ("+", "-")))
    return _formula(text)


def _bracketed(text: str, depth: int) -> Row | None:
    plain = text.replace(r"\{", "{").replace(r"\}", "}").replace(r"\langle", "(").replace(r"\rangle", ")")
    plain = plain.strip()
    if len(plain) < 2 or plain[0] not in "([{" or plain[-1] not in ")]}" or not _one_group(plain):
        return None
    parts = _split(plain[1:-1], re.compile(r"\s*[,;]\s*"))
    if len(parts) < 2:
        return Row("{", "}", (read_structure(plain[1:-1], depth + 1),)) if plain[0] == "{" else None
    return Row(plain[0], plain[-1], tuple(read_structure(part, depth + 1) for part in parts))


def _one_group(text: str) -> bool:
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return at == len(text) - 1
    return False


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    """The parts between separators outside brackets."""
    parts, start = [], 0
    for match in separator.finditer(text):
        before = text[: match.start()]
        if before.count("(") + before.count("[") + before.count("{") == before.count(")") + before.count(
            "]"
        ) + before.count("}"):
            parts.append(text[start : match.start()].strip())
            start = match.end()
    return [*parts, text[start:].strip()]


def _can_stand_in_a_list(part: str) -> bool:
    return bool(re.search(r"[\d\\]|^[a-zA-Z]$|=|[<>]", part)) or bool(
        re.fullmatch(r"[A-Za-z][\w -]{1,30}|[a-z][\w^+*/-]*", part)
    )


def _assignments(items: tuple[Answer, ...]) -> Row | None:
    """`x = 1, y = 2` as the tuple of its values in the order of the names."""
    labels = [item.label for item in items if isinstance(item, Value)]
    if len(labels) == len(items) and all(labels) and len(set(labels)) == len(labels):
        return Row("(", ")", tuple(sorted(items, key=lambda item: item.label if isinstance(item, Value) else "")))
    return None


def _formula(text: str) -> Value:
    """What is left to algebra, without the name and the unit around it."""
    label = _LABEL.match(text)
    if label and not re.search(r"[=<>]", text[label.end() :]) and text[label.end() :]:
        name = re.sub(r"\s", "", label[0].rstrip("= "))
        inner = read_structure(text[label.end() :], 3)
        return replace(inner, label=name) if isinstance(inner, Value) else Value(text)
    split = _TRAILING.fullmatch(text)
    if (split and not split["unit"].startswith("\\")) or (split and split["unit"].startswith("^")):
        for at in _unit_starts(text):
            unit = known_unit(text[at:]) if len(text[at:].strip()) > 1 or text[at - 1] == " " else None
            if unit:
                return Value(text[:at].strip(), unit=unit)
    return Value(text)


def _unit_starts(text: str) -> Iterator[int]:
    """Places after a digit or closing bracket at which a unit may begin; a single letter needs a space before it."""
    for match in re.finditer(r"(?<=[\d)}])\s+(?=[a-zA-Z])|(?<=[\d)}])\s*(?=%|\^\\circ)|(?<=[\d)}])(?=[a-z]{2,})", text):
        yield match.end()


def _scalar(text: str) -> Value | None:
    """A number, with or without a unit, a time, a date, or words; None if it is a formula or a list."""
    number = _number(text)
    if number is not None:
        return Value(str(number), number, settled=True)
    return _based(text) or _quantity(text) or _clock(text) or _words(text)


def _number(text: str) -> Fraction | None:
    plain = _PLAIN.fullmatch(text)
    if plain:
        return _signed(plain[1], Fraction(re.sub(r"[, ']", "", plain[2])))
    ratio = _RATIO.fullmatch(text)
    if ratio:
        return _ratio(ratio)
    power = _SCIENTIFIC.fullmatch(text) or _EXPONENT.fullmatch(text)
    if power:
        return _signed(power[1], Fraction(re.sub(r"[, ']", "", power[2] or "1")) * Fraction(10) ** int(power[3]))
    repeating = _REPEATING.fullmatch(text)
    if repeating:
        sign, whole, fixed, period = repeating.groups()
        tail = Fraction(int(period), 10 ** len(period) - 1) / 10 ** len(fixed)
        return _signed(sign, Fraction(f"{whole or 0}.{fixed or 0}") + tail)
    if text.startswith("-") and text.count("-") == 1 and text[1:].strip() in _NUMBER_WORDS:
        return Fraction(-_NUMBER_WORDS[text[1:].strip()])
    return Fraction(_NUMBER_WORDS[text.casefold()]) if text.casefold() in _NUMBER_WORDS else None


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


def _ratio(match: re.Match[str]) -> Fraction | None:
    """`3/4` and the mixed number `3 1/2`."""
    top, bottom = int(match[3] or match[5]), int(match[4] or match[6])
    if not bottom:
        return None
    return _signed(match[1], int(match[2] or 0) + Fraction(top, bottom))


def _based(text: str) -> Value | None:
    """`101_2` and `101 base 2`: the base is compared like a unit, since it is often left out."""
    based = _BASE.fullmatch(text)
    if not based or not re.search(r"\d", based[1]):
        return None
    base = based[2] or based[3]
    digits = based[1].upper()
    base = str(_NUMBER_WORDS.get(base.casefold(), base))
    number = Fraction(digits) if digits.isdigit() else None
    return Value(str(number or digits), number, Unit(f"base {base}"), settled=True) if base.isdigit() else None


def _quantity(text: str) -> Value | None:
    """A number and a unit, a sum of such (`5 hours 30 minutes`), or a price."""
    price = re.fullmatch(r"([-+]?)\s*([$€£¥₹])\s*([-+]?)\s*(.+)", text) or re.fullmatch(
        r"([-+]?)()()(.+?)\s*([$€£¥₹])", text
    )
    if price:
        sign = price[2] or price[price.lastindex or 0]
        rest = re.sub(r"\s*(?:dollars?|usd|(?:per|for) [a-z ]+|each)$", "", price[4], flags=re.IGNORECASE)
        number = _number(rest) or (_number("0") if rest.strip() == "0" else None)
        if number is not None:
            return _measured(-number if "-" in (price[1], price[3]) else number, SIGNS[sign])
    ordinal = _ORDINAL.fullmatch(text)
    if ordinal:
        return Value(ordinal[1], Fraction(ordinal[1]), settled=True)
    return _with_unit(text) or _sum(text)


def _measured(number: Fraction, unit: Unit) -> Value:
    return Value(str(number), number, unit, settled=True)


def _with_unit(text: str) -> Value | None:
    for match in re.finditer(
        r"(?<=[\d}])\s*(?=[^\W\d_]|[%°¢]|\^\s*\\circ|\\frac\s*\{\s*[a-z])|(?<=[a-z])\s+(?=[a-z])", text
    ):
        if match.start() == match.end() and re.match(r"[a-zA-Z](?:[\^{*/+-]|$)|e[-+\d]", text[match.end() :]):
            continue
        number, words = _number(text[: match.start()]), text[match.end() :]
        if number is None:
            continue
        magnitude = re.match(r"(hundred|thousand|million|billion|trillion|dozen)\b\s*", words)
        if magnitude:
            number, words = number * _MAGNITUDES[magnitude[1]], words[magnitude.end() :]
            if not words:
                return Value(str(number), number, settled=True)
        unit = PERCENT if words.strip() == "%" else known_unit(words) or _noun(words)
        if unit:
            return _measured(number, unit)
    return None


def _noun(words: str) -> Unit | None:
    """What is counted: letters only, no word that changes the number, no single letter that may be a variable."""
    found = re.findall(r"[^\W\d_]+", words)
    if not found or re.search(r"[\d\\^_=+*/{}<>|()\[\]]", words):
        return None
    if len(found[0]) < 2 or found[0].casefold() in _NOT_UNITS or "than" in found:
        return None
    if found[0].isascii() and len(found[0]) < 3 and len(found) == 1:
        return None
    return Unit("noun:" + " ".join(singular(word.casefold()) for word in found))


def _sum(text: str) -> Value | None:
    """`5 hours 30 minutes`, `5 feet and 6 inches`: amounts of one kind, from the larger unit to the smaller."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)\b\.?,?\s*(?:and\s+)?", text.casefold())
    if len(parts) < 2 or re.sub(r"[\s,.]|\band\b", "", text.casefold()) != "".join(a + b for a, b in parts):
        return None
    units = [known_unit(word) for _, word in parts]
    if any(unit is None or not unit.kind or unit.kind != (units[0] and units[0].kind) for unit in units):
        return None
    total = sum(
        (Fraction(amount) * unit.worth for (amount, _), unit in zip(parts, units, strict=True) if unit), Fraction(0)
    )
    first = units[0]
    return _measured(total / first.worth, first) if first else None


def _clock(text: str) -> Value | None:
    """A time of day, a proportion or a date."""
    time = _TIME.fullmatch(text)
    if time and (len(time[1]) < 3 and int(time[2]) < 60 and int(time[1]) < 25):
        half = time[4].replace(".", "").replace(" ", "").casefold()
        shown = f"{int(time[1])}:{time[2]}" + (f":{time[3]}" if time[3] else "")
        return Value(shown, unit=Unit(half) if half else None, settled=True)
    proportion = _PROPORTION.fullmatch(text)
    if proportion and int(proportion[2]):
        reduced = Fraction(int(proportion[1]), int(proportion[2]))
        return Value(f"{reduced.numerator}:{reduced.denominator}", settled=True)
    hour = re.fullmatch(r"(\d{1,2})\s*([ap])\.?\s?m\.?", text, re.IGNORECASE)
    if hour:
        return Value(f"{int(hour[1])}:00", unit=Unit(f"{hour[2].casefold()}m"), settled=True)
    date = _DATE.fullmatch(text)
    if date:
        month = _MONTHS.index((date[1] or date[4]).casefold()[:3]) + 1
        year = Unit(f"year {date[5]}") if date[5] else None
        return Value(f"date {month}-{int(date[2] or date[3])}", unit=year, settled=True)
    return None


def _words(text: str) -> Value | None:
    if re.fullmatch(r"\(?[A-J]\)?", text) or re.fullmatch(r"\([a-j]\)", text):
        return Value(text.strip("()").upper(), settled=True)
    if re.search(r"(?<![\w])\d+\s+[a-z]{3,}", text) and not re.search(r"[\\=^_,;(){}]|\band\b", text):
        return Value(" ".join(text.casefold().split()), settled=True)
    if not _WORDS.fullmatch(text) or (_SEPARATOR.search(text) and re.search(r",|\band\b|\bor\b", text)):
        return None
    plain = re.sub(r"^(?:the|a|an)\s+", "", " ".join(re.sub(r"[.!\"']", "", text).casefold().split()))
    return Value(plain, settled=True)
