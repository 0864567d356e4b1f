r"""A single value as people write it: numbers, quantities, ratios, residues, times, dates and words.

`70,000`, `70000.` and `70 000` are one number; `\\frac{3}{4}`, `3/4` and `0.75` are one number; `5 hours 30 minutes` is
`5.5 hours`. What is left over is a formula or a list.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from stepscore.verify.formula import repeating_decimal
from stepscore.verify.quantity import HOUR, PER_MILLE, PERCENT, SIGNS, Unit, known_unit, singular

_DIGITS = r"(?:\d{1,3}(?:[, ']\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d{1,60})(?:\.\d{0,60})?|\.\d{1,60}"
_PLAIN = re.compile(rf"([-+]?)\s*({_DIGITS})")
_RATIO = re.compile(
    r"([-+]?)\s*(?:(\d{1,60})\s*(?:\s|and|(?=\\))\s*)?(?:\\frac\s*\{\s*(-?\d{1,60})\s*\}\s*\{\s*(\d{1,60})\s*\}|(\d{1,60})\s?/\s?(\d{1,60}))"
)
_SCIENTIFIC = re.compile(
    rf"([-+]?)\s*(?:({_DIGITS})\s*(?:\\times|\\cdot|x|\*)\s*)?10\s*(?:\^|\*\*)\s*\{{?\s*\(?\s*([-+]?\d{{1,3}})\s*\)?\s*\}}?"
)
_EXPONENT = re.compile(r"([-+]?)(\d{1,30}(?:\.\d{1,30})?)[eE]([-+]?\d{1,3})")
_REPEATING = re.compile(r"([-+]?)(\d{0,30})\.(\d{0,30})(?:\\(?:overline|bar|dot)\s*\{?(\d{1,30})\}?|\((\d{1,30})\))")
_REPEATED = re.compile(r"([-+]?)(\d{0,30})\.(\d{0,12}?)(\d{1,12}?)\4+\s*\\ldots")
_DOTTED = re.compile(r"([-+]?)(\d{0,30})\.(\d{0,30})\\dot\s*\{?(\d)\}?(\d{0,30})\\dot\s*\{?(\d)\}?")
_SEEN_DIGITS = 3
"""So many digits of a period and its repetitions have to be written before dots."""
_BASE = re.compile(
    r"([-+]?)\s*\(?([0-9A-Fa-f]+)\)?\s*(?:_\s*\{?\s*\(?\s*(\w+)\s*\)?\s*\}?|\(?\s*(?:in )?base[ -]?(\w+)\)?)"
)
_TIME = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?\s*((?:[ap]\.?\s?m\.?)?)", re.IGNORECASE)
_DAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
_ON_DAY = re.compile(
    rf"(?P<time>.*(?:\d|m\.?|noon|midnight)),?\s+(?:on\s+)?(?P<day>{_DAY})"
    rf"|(?P<day2>{_DAY}),?\s+(?:at\s+)?(?P<time2>(?:\d|noon|midnight).*)",
    re.IGNORECASE,
)
_PART = r"(?:\d{1,30}(?:\.\d{1,30})?|\d{1,30}/\d{1,30}|\\frac\s*\{\d{1,30}\}\s*\{\d{1,30}\})"
_PROPORTION = re.compile(rf"{_PART}(?:(?:\s*:\s*|\s+to\s+){_PART})+")
_BETWEEN_PARTS = re.compile(r"\s*:\s*|\s+to\s+")
_RESIDUE = re.compile(
    r"(?:[a-z]\s*(?:=|\\equiv|\\cong)\s*)?(?P<number>-?\d{1,60})\s*(?P<open>\(\s*)?\\?mod(?:ulo)?\s*"
    r"\{?\s*(?P<modulus>\d{1,60})\s*\}?\s*(?P<close>\))?"
)
_NO_SOLUTION = re.compile(
    r"(?:there (?:is|are) |has |have )?no (?:real |integer |valid |such )?(?:solutions?|roots?)(?: exists?)?|无解|無解",
    re.IGNORECASE,
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?"
)
"""Spelled out: `5 markers` are not the fifth of March."""
_DATE = re.compile(
    rf"(?:({_MONTH})\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?|(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})\.?)"
    r"(?:,?\s+(\d{4}))?",
    re.IGNORECASE,
)
_ISO_DATE = re.compile(r"(\d{4})-(0[1-9]|1[0-2])-([0-2]\d|3[01])")
_TWELVE = {"noon": "pm", "12 noon": "pm", "midnight": "am", "12 midnight": "am"}
_TO_TWENTY = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBER_WORDS = {word: at for at, word in enumerate(_TO_TWENTY)} | {
    f"{tens}{dash}{unit}": 10 * at + one
    for at, tens in enumerate(_TENS, 2)
    for one, unit in enumerate(["", *_TO_TWENTY[1:10]])
    for dash in (("-", " ") if unit else ("",))
}
_TENS_AND_ONES = re.compile(rf"\b({'|'.join(_TENS)}) ({'|'.join(_TO_TWENTY[1:10])})\b")
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_IN_PARTS = re.compile(rf"(?:([a-z]+)[ -])?({'|'.join(_PARTS)}|halve)s?", re.IGNORECASE)
"""`two thirds`, `one-half`, `a quarter`."""
_REMAINDER = re.compile(r"(\d+)\s*(?:R|r|rem\.?|(?:with )?(?:a )?remainder(?: of)?)\s*(\d+)")
_FEET = re.compile(r"(\d+)\s?'\s?(\d+(?:\.\d+)?)\s?(?:\"|'')")
_NOT_UNITS = frozenset([
    "squared", "cubed", "less", "more", "than", "plus", "minus", "times", "half", "twice", "double", "triple",
    "dozen", "dozens", "hundred", "thousand", "million", "billion", "trillion", "percent", "of", "pi", "over",
    "by", "divided", "multiplied", "mod", "modulo", "remainder", "factorial", "choose", "base", "power", "root",
    "sin", "cos", "tan", "log", "ln", "sqrt", "or", "to", "fewer", "greater", "raised", "exponent", "if", "is",
    "are", "and",
])  # fmt: skip
SEPARATOR = re.compile(r"\s*(?:[,;]|\band\b|\bor\b|\\lor|\\vee|[、和或])\s*")
_SIGN_UNITS = {"%": PERCENT, "‰": PER_MILLE}
_SHORT_WORDS = frozenset([
    "am", "as", "at", "by", "do", "go", "he", "if", "in", "is", "it", "me", "my", "no", "of", "on", "or", "pm", "so",
    "to", "up", "we",
])  # fmt: skip
"""Two other letters are a product."""
_GLUED = 5
"""A shorter word without a space before it is a product of variables (`12abc`), unless it is a known unit."""
_ORDINAL = re.compile(r"(\d+)\s*(?:\^\s*\{?\s*)?(?:st|nd|rd|th)\s*\}?")
_MAGNITUDES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_SHORT_MAGNITUDES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}
_SCALED = re.compile(r"(.+?)(?:\s+(hundred|thousand|million|billion|trillion)|(?<=\d)\s?([kmb]|mn|bn))", re.IGNORECASE)
"""`$1.5 million` and `$1.5M`: only beside a currency sign is the letter a magnitude."""
_WORDS = re.compile(r"[^\W\d_][^\W\d_]+(?:[\s.'’\"&/-]+[^\W\d_]+)*[.!]?|[^\W\d_]{2,}")


@dataclass(frozen=True, slots=True)
class Value:
    """text: its form; of a formula what algebra is to read. number: its exact value if it is a number written out.

    unit: None without. shown: the number beside the unit. settled: algebra adds nothing to it.
    label: the left side of `x = …`. also: what it is beside amounts of that kind (`5 pounds` beside `£5`), else None.
    """

    text: str
    number: Fraction | None = None
    unit: Unit | None = None
    settled: bool = False
    label: str = ""
    also: Value | None = None


def read_scalar(text: str) -> Value | None:
    """A number, with or without a unit, a time, a date, or words; None if it is a formula or a list."""
    number = _number(text)
    if number is not None:
        return Value(str(number), number, settled=True)
    return (
        _read_in_base(text)
        or _residue(text)
        or _read_date(text)
        or _quantity(text)
        or _clock(text)
        or _proportion(text)
        or _words(text)
    )


def _number(text: str) -> Fraction | None:
    plain = _PLAIN.fullmatch(text)
    if plain:
        return _apply_sign(plain[1], Fraction(re.sub(r"[, ']", "", plain[2])))
    ratio = _RATIO.fullmatch(text)
    if ratio:
        return _ratio(ratio)
    power = _SCIENTIFIC.fullmatch(text) or _EXPONENT.fullmatch(text)
    if power:
        return _apply_sign(power[1], Fraction(re.sub(r"[, ']", "", power[2] or "1")) * Fraction(10) ** int(power[3]))
    endless = _endless(text)
    if endless is not None:
        return endless
    if text.startswith("-") and text.count("-") == 1 and text[1:].strip() in _NUMBER_WORDS:
        return Fraction(-_NUMBER_WORDS[text[1:].strip()])
    return _in_words(text.casefold()) if text[:1].isalpha() or text.endswith("half") else None


def _in_words(text: str) -> Fraction | None:
    """`twelve`, `two hundred and five`, `two thirds`, `two and a half`, `5 and a half`."""
    whole = re.fullmatch(r"(.+) and (?:a|one)[ -]half", text)
    if whole:
        number = _number(whole[1])
        return None if number is None or number.denominator > 1 else number + Fraction(1, 2)
    return _in_parts(text) or _read_count(text)


def _read_count(text: str) -> Fraction | None:
    """`one hundred and five`, `a dozen`, `twelve thousand`: each magnitude after a smaller number."""
    total, current = 0, None
    for word in _TENS_AND_ONES.sub(r"\1-\2", re.sub(r"(?<=hundred|housand|million) and ", " ", text)).split():
        if word in _NUMBER_WORDS and (current is None or (current % 100 == 0 and current)):
            current = (current or 0) + _NUMBER_WORDS[word]
        elif word == "a" and current is None and text != "a":
            current = 1
        elif word in _MAGNITUDES and current:
            current *= _MAGNITUDES[word]
            total, current = (total + current, None) if word != "hundred" else (total, current)
        else:
            return None
    return None if current is None and not total else Fraction(total + (current or 0))


def _in_parts(text: str) -> Fraction | None:
    parts = _IN_PARTS.fullmatch(text)
    count = _NUMBER_WORDS.get(parts[1].casefold(), parts[1].casefold() in ("a", "an")) if parts and parts[1] else 0
    return Fraction(count, _PARTS.get(parts[2].casefold(), 2)) if parts and count else None


def _endless(text: str) -> Fraction | None:
    r"""A repeating decimal: `0.\overline{3}`, `0.(3)`, `0.\dot{1}2\dot{3}`, `0.333…`."""
    marked = _REPEATING.fullmatch(text)
    if marked:
        return _apply_sign(marked[1], repeating_decimal(marked[2], marked[3], marked[4] or marked[5]))
    dotted = _DOTTED.fullmatch(text)
    if dotted:
        return _apply_sign(dotted[1], repeating_decimal(dotted[2], dotted[3], dotted[4] + dotted[5] + dotted[6]))
    repeated = _REPEATED.fullmatch(text)
    if repeated and repeated.end(0) and text.count(repeated[4]) * len(repeated[4]) >= _SEEN_DIGITS:
        return _apply_sign(repeated[1], repeating_decimal(repeated[2], repeated[3], repeated[4]))
    return None


def _apply_sign(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


def _ratio(match: re.Match[str]) -> Fraction | None:
    """`3/4` and the mixed number `3 1/2`."""
    top, bottom = int(match[3] or match[5]), int(match[4] or match[6])
    if not bottom:
        return None
    return _apply_sign(match[1], int(match[2] or 0) + Fraction(top, bottom))


def _read_in_base(text: str) -> Value | None:
    """`101_2` and `101 base 2`: digits in a base are not the number that the digits alone would be."""
    based = _BASE.fullmatch(text)
    if not based or not re.search(r"\d", based[2]):
        return None
    base = str(_NUMBER_WORDS.get((based[3] or based[4]).casefold(), based[3] or based[4]))
    if base == "10" and based[2].isdigit():
        number = _apply_sign(based[1], Fraction(based[2]))
        return Value(str(number), number, settled=True)
    digits = based[1].strip("+") + (based[2].upper().lstrip("0") or "0")
    return Value(f"{digits} base {int(base)}", settled=True) if base.isdecimal() else None


def _residue(text: str) -> Value | None:
    """`12 mod 5` is 2; `x = 2 (mod 5)` is a class, with the modulus compared like a unit."""
    residue = _RESIDUE.fullmatch(text)
    if not residue or not int(residue["modulus"]) or bool(residue["open"]) != bool(residue["close"]):
        return None
    modulus = int(residue["modulus"])
    number = Fraction(int(residue["number"]) % modulus)
    is_class = bool(residue["open"]) or not text.startswith(residue["number"])
    return Value(str(number), number, Unit(f"mod {modulus}") if is_class else None, settled=True)


def _quantity(text: str) -> Value | None:
    """A number and a unit, a sum of such (`5 hours 30 minutes`), or a price."""
    price = re.fullmatch(r"([-+]?)\s*([$€£¥₹])\s*([-+]?)\s*(.+)", text) or re.fullmatch(
        r"([-+]?)()()(.+?)\s*([$€£¥₹])", text
    )
    if price:
        sign = price[2] or price[price.lastindex or 0]
        rest = re.sub(r"\s*(?:dollars?|usd|(?:per|for) [a-z ]+|each)$", "", price[4], flags=re.IGNORECASE)
        scaled = _SCALED.fullmatch(rest)
        number = _number(scaled[1] if scaled else rest) or (_number("0") if rest.strip() == "0" else None)
        if number is not None:
            number *= _MAGNITUDES[scaled[2] or _SHORT_MAGNITUDES[scaled[3].casefold()]] if scaled else 1
            return _read_measure(-number if "-" in (price[1], price[3]) else number, SIGNS[sign])
    ordinal = _ORDINAL.fullmatch(text)
    if ordinal:
        return Value(ordinal[1], Fraction(ordinal[1]), settled=True)
    return _with_unit(text) or _sum(text)


def _read_measure(number: Fraction, unit: Unit) -> Value:
    other = Value(str(number), number, unit.also, settled=True) if unit.also else None
    return Value(str(number), number, unit, settled=True, also=other)


def _with_unit(text: str) -> Value | None:
    for match in re.finditer(
        r"(?<=[\d}])\s*(?=[^\W\d_]|[%‰°¢]|\^\s*\\circ|\\frac\s*\{\s*[a-z])|(?<=[a-z])\s+(?=[a-z])", text
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
        unit = _SIGN_UNITS.get(words.strip()) or known_unit(words) or _noun(words)
        if (
            unit
            and unit.name.startswith("noun:")
            and match.start() == match.end()
            and words.isascii()
            and len(words) < _GLUED
        ):
            continue
        if unit:
            return _read_measure(number, unit)
    return None


def _noun(words: str) -> Unit | None:
    """What is counted: letters only, no word that changes the number, no single letter that may be a variable."""
    found = re.findall(r"[^\W\d_]+", words)
    if not found or re.search(r"[\d\\^_=+*/{}<>|()\[\]]", words):
        return None
    if (len(found[0]) < 2 and found[0].isascii()) or found[0].casefold() in _NOT_UNITS or "than" in found:
        return None
    if found[0].isascii() and len(found[0]) < 3 and len(found) == 1:
        return None
    return Unit("noun:" + " ".join(singular(word.casefold()) for word in found))


def _sum(text: str) -> Value | None:
    """`5 hours 30 minutes`, `1h30m`, `5'6"`: amounts of one kind, from the larger unit to the smaller."""
    text = _FEET.sub(r"\1 feet \2 inches", text.casefold())
    found = re.findall(r"(\d[\d,]*(?:\.\d+)?)\s*([a-z]+)\.?,?\s*(?:and\s+)?", text)
    parts = [(amount.replace(",", ""), word) for amount, word in found]
    if len(parts) < 2 or re.sub(r"[\s,]|\.(?!\d)|\band\b", "", text) != "".join(a + b for a, b in parts):
        return None
    units = [known_unit("min" if word == "m" and parts[0][1][0] == "h" else word) for _, word in parts]
    if units[0] and units[0].also and units[1] and units[1].kind == units[0].also.kind:
        units[0] = units[0].also
    if any(unit is None or not unit.kind or unit.kind != (units[0] and units[0].kind) for unit in units):
        return None
    worths = [unit.worth for unit in units if unit]
    if any(first <= second for first, second in pairwise(worths)):
        return None
    total = sum(
        (Fraction(amount) * unit.worth for (amount, _), unit in zip(parts, units, strict=True) if unit), Fraction(0)
    )
    first = units[0]
    return _read_measure(total / first.worth, replace(first, also=None)) if first else None


def _clock(text: str) -> Value | None:
    """A time of day, perhaps of a weekday; `17:30` is `5:30 PM`, and `1:30:00` a duration beside other durations."""
    on_day = _ON_DAY.fullmatch(text)
    if on_day:
        of_day = _clock((on_day["time"] or on_day["time2"]).strip())
        day = (on_day["day"] or on_day["day2"]).casefold()[:3]
        return replace(of_day, text=f"{day} {of_day.text}", also=None) if of_day else None
    time = _TIME.fullmatch(text)
    if time and (len(time[1]) < 3 and int(time[2]) < 60 and int(time[1]) < 25):
        return _time_of_day(time)
    hour = re.fullmatch(r"(\d{1,2})\s*([ap])\.?\s?m\.?", text, re.IGNORECASE)
    if hour:
        return Value(f"{int(hour[1])}:00", unit=Unit(f"{hour[2].casefold()}m"), settled=True)
    if text.casefold() in _TWELVE:
        return Value("12:00", unit=Unit(_TWELVE[text.casefold()]), settled=True)
    return None


def _time_of_day(time: re.Match[str]) -> Value:
    half = time[4].replace(".", "").replace(" ", "").casefold()
    hours = int(time[1])
    seconds = 3600 * hours + 60 * int(time[2]) + int(time[3] or 0)
    duration = _read_measure(Fraction(seconds, 3600), HOUR) if time[3] and not half else None
    if 12 < hours < 24 and not half:
        hours, half = hours - 12, "pm"
    shown = f"{hours}:{time[2]}" + (f":{time[3]}" if time[3] else "")
    return Value(shown, unit=Unit(half) if half else None, settled=True, also=duration)


def _read_date(text: str) -> Value | None:
    ordered = _ISO_DATE.fullmatch(text)
    if ordered:
        return Value(f"date {int(ordered[2])}-{int(ordered[3])}", unit=Unit(f"year {ordered[1]}"), settled=True)
    date = _DATE.fullmatch(text)
    if date:
        month = _MONTHS.index((date[1] or date[4]).casefold()[:3]) + 1
        year = Unit(f"year {date[5]}") if date[5] else None
        return Value(f"date {month}-{int(date[2] or date[3])}", unit=year, settled=True)
    return None


def _proportion(text: str) -> Value | None:
    """`2:4:6` in lowest whole terms, `1:2:3`; `2 : 3` is not the number 2/3."""
    if not _PROPORTION.fullmatch(text):
        return None
    parts = [_number(part) for part in _BETWEEN_PARTS.split(text)]
    shares = [part for part in parts if part is not None]
    if len(shares) < len(parts) or not shares[-1]:
        return None
    common = math.lcm(*(share.denominator for share in shares))
    whole = [int(share * common) for share in shares]
    divisor = math.gcd(*whole)
    return Value(":".join(str(number // divisor) for number in whole), settled=True)


def _words(text: str) -> Value | None:
    if _NO_SOLUTION.fullmatch(text):
        return Value("empty set", settled=True)
    if re.fullmatch(r"(?:DNE|(?:the limit )?does not exist)", text, re.IGNORECASE):
        return Value("does not exist", settled=True)
    if re.fullmatch(r"\\emptyset|\\\{\s*\\\}|\{\s*\}|(?:the )?empty set", text, re.IGNORECASE):
        return Value("empty set", settled=True)
    divided = _REMAINDER.fullmatch(text)
    if divided:
        return Value(f"{int(divided[1])} remainder {int(divided[2])}", settled=True)
    if re.fullmatch(r"\(?[A-J]\)?|\([a-j]\)|[abcdfghj]|[①-⑳]", text):
        return Value(text.strip("()").upper(), settled=True)
    if re.search(r"(?<![\w])\d+\s+[a-z]{3,}", text) and not re.search(r"[\\=^_,;(){}]|\band\b", text):
        return Value(" ".join(text.casefold().split()), settled=True)
    if re.fullmatch(r"[a-z]{2}", text) and text not in _SHORT_WORDS:
        return None
    if not _WORDS.fullmatch(text) or (SEPARATOR.search(text) and re.search(r",|\band\b|\bor\b", text)):
        return None
    plain = re.sub(r"^(?:the|a|an)\s+", "", " ".join(re.sub(r"[.!\"']", "", text).casefold().split()))
    return Value(plain, settled=True)
