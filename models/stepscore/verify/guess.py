r"""A guess at the answer of a text that states none: the last number or formula of its last line that holds one."""

from __future__ import annotations

import re

from stepscore.verify.wording import LONGEST, MATHS, NUMBER, Said, maths_text, take_option, take_result

LINES = 40
"""Lines from the end that are looked at."""

_ENUMERATION = re.compile(r"^\s*(?:[-*#>]+\s*)?(?:step\s*)?\d{1,3}[.):](?=\s)", re.IGNORECASE)
_BOLD = re.compile(r"\*\*(?P<bold>[^*\n]{1,80})\*\*")
_NOTE = re.compile(r"<<[^<>]*>>")
_ALONE = re.compile(
    r"\W*(?:(?:therefore|thus|so|hence),?\s*)?(?:(?:option|choice|answer)\s+)?(?P<word>\(?[A-J]\)?|yes|no|true|false)\W*",
    re.IGNORECASE,
)
_OPTION = re.compile(
    r"[\s*_$]*(?:(?:option|choice|answer)\s+)?[(\[]?(?P<letter>[A-J])(?:[)\].:：、]|\*\*)\**\s*(?P<said>\S.*)"
)
_AMOUNT = r"\d+(?:\.\d+)?\s(?:weeks?|days?|hours?|hrs?|minutes?|mins?|seconds?|feet|foot|inch(?:es)?|pounds?|ounces?)"
_MONTH = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?"
)
_VALUE = re.compile(
    r"[(\[]\s*-?[\d./]+(?:\s*,\s*-?[\d./]+)+\s*[)\]]|\\?\{\s*-?[\d./]+(?:\s*,\s*-?[\d./]+)+\s*\\?\}|"
    r"(?<![\d:])\d+(?:(?::\d+)+|(?:\s:\s\d+)+)(?![\d:])(?:\s?(?:[ap]m\b|[ap]\.m\.))?"
    r"(?:,?\s(?:on\s)?(?:mon|tues|wednes|thurs|fri|satur|sun)day\b)?|"
    r"[(\[]\s*[-−+]?\s?[\d./∞]+\s*,\s*[-−+]?\s?[\d./∞]+\s*[)\]]|⟨[^⟨⟩\n]{1,40}⟩|"
    rf"(?<![\d.]){_AMOUNT}(?:,?\s(?:and\s)?{_AMOUNT})+|(?:{_MONTH})\b\.?\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s\d{{4}})?\b(?!\s[a-z]{{3}})|"
    rf"\b\d{{1,2}}(?:st|nd|rd|th)?\s(?:{_MONTH})\b(?:,?\s\d{{4}})?\b|\d+,\d\d?\s?(?:€|(?:[ck]?m|kg|g|l|h|liters?|litres?|met(?:er|re)s?|kilos?|hours?|euros?)\b)|"
    r"(?<![\d.])\d+,?\s(?:R|(?:with )?(?:a )?remainder(?: of)?)\s\d+|"
    r"(?<![\d.])[-−]?\d*(?:\.\d+)?\s?√\s?(?:\d+|\([^()\n]{1,20}\))(?:\s?/\s?\d+)?|(?<![\d.])[-−]?\d*(?:\.\d+)?π(?:\s?/\s?\d+)?|"
    r"-?\d*\s?\\(?:[dtc]?frac\s*\{[^{}]*\}\s*\{[^{}]*\}|sqrt\s*\{[^{}]*\})|" + NUMBER.pattern,
    re.IGNORECASE,
)
_EQUATED = re.compile(r"=(?P<side>(?:[-+*/^()\s]|\d++(?:\.\d++)?|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z]))+)\.?\s*")
"""The right side of a last equation without `$`."""
_SIGNS = r"[-+*/^()\d\s.,<>≤≥≠±−×·√π∞²³⁴⁵⁶⁷⁸⁹∈∪\[\]]"
_FORMULA = re.compile(rf"(?:{_SIGNS}|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z])|\bor\b|\band\b)*+")
"""A line that is nothing but a formula without an equals sign."""
_REPLY = re.compile(r"(?:(?:therefore|thus|so|hence),?\s*)?(?P<word>yes|no)\s*[,.!—–][^\d\n]*", re.IGNORECASE)
_PARTS = re.compile(r"\b(?:ratio|odds|proportion)s?\b.*?(?P<parts>\d+(?: to \d+)+)", re.IGNORECASE)
_SOLUTIONS = re.compile(
    rf"\b(?P<name>[a-zA-Z])\s?=\s?(?:{_VALUE.pattern})"
    rf"(?:\s?(?:,|;|,?\s(?:and|or))\s(?P=name)\s?=\s?(?:{_VALUE.pattern}))+",
    re.IGNORECASE,
)
"""Several values of one name: `x = 5 or x = -3`."""
_SHORT = 60
_MARK = re.compile(r"\(?[A-J]\)?")


def guess_answer(text: str) -> Said | None:
    """None if no line holds a number or formula, or is nothing but a letter, yes or no."""
    lines = [line for line in text.rstrip().splitlines()[-4 * LINES :] if line.strip()]
    chosen = _option_of(lines)
    if chosen:
        return chosen
    for back, line in enumerate(lines[: -LINES - 1 : -1]):
        found = _in_line(_ENUMERATION.sub("", _NOTE.sub("", line[-LONGEST:])), last=back == 0)
        if found:
            return take_option(found)
    return None


def _option_of(lines: list[str]) -> Said | None:
    """The last line if it is one option, `B) 12`, and not the end of the list of options."""
    option = _OPTION.fullmatch(lines[-1]) if lines and len(lines[-1]) < _SHORT else None
    before = _OPTION.fullmatch(lines[-2]) if option and len(lines) > 1 else None
    if not option or (before and before["letter"] < option["letter"]):
        return None
    return Said(option["letter"], option["said"].strip(" $*."))


def _is_formula(line: str) -> bool:
    """Whether the line is one formula: an inequality, a polynomial, a product."""
    whole = sum(map(line.count, "([")) == sum(map(line.count, ")]"))
    return whole and bool(_FORMULA.fullmatch(line) and re.search(r"[\w)²³][^\w]+[\w(]|\d[a-zA-Z√π]", line))


def _in_line(line: str, *, last: bool) -> str | None:
    alone = _ALONE.fullmatch(line) if len(line) < _SHORT else None
    if last and alone and (_MARK.fullmatch(alone["word"]) or alone["word"].islower() or alone["word"].istitle()):
        return alone["word"]
    reply = _REPLY.fullmatch(line.strip()) if last else None
    if reply:
        return reply["word"]
    plain = line.strip().rstrip(".")
    if len(plain) < _SHORT and _is_formula(plain):
        return plain
    parts = _PARTS.search(line[-4 * _SHORT :])
    if parts:
        return parts["parts"]
    bold = [match["bold"] for match in _BOLD.finditer(line) if re.search(r"\d", match["bold"])]
    if bold:
        return _in_line(bold[-1].replace("*", ""), last=False)
    found: list[tuple[int, str]] = []
    for match in MATHS.finditer(line):
        formula = take_result(maths_text(match))
        if re.search(r"\d|\\(?:frac|sqrt|pi|infty)", formula) or "=" in formula or not found:
            found.append((match.start(), formula))
    solutions = None if found else _SOLUTIONS.search(line)
    if solutions:
        return solutions[0]
    equated = None if found else _EQUATED.fullmatch(line, line.rfind("=")) if "=" in line else None
    if equated and re.search(r"\w", equated["side"]):
        return equated["side"].strip()
    blank = MATHS.sub(lambda match: " " * len(match[0]), line)
    found += [(match.start(), match[0].strip()) for match in _VALUE.finditer(blank)]
    digits = [one for one in found if re.search(r"\d", one[1])]
    return max(digits or found, default=(0, ""))[1] or None
