r"""The structure of an answer: lists, tuples and intervals of numbers, words and formulas, with units.

`$70,000`, `70000.` and `\text{70000} dollars` are one number; `\frac{3}{4}`, `3/4` and `0.75` are one number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from stepscore.verify.quantity import known_unit
from stepscore.verify.scalar import SEPARATOR, Value, read_scalar
from stepscore.verify.spelling import spell
from stepscore.verify.wording import OPTIONS

_LABEL = re.compile(
    r"(?:\\frac\s*\{d\s?[a-z]\}\s*\{d\s?[a-z]\}|m?\s*\\(?:angle|triangle|overline)\s*\{?[A-Za-z]{1,4}\}?|\|[A-Za-z]{1,4}\||[A-Za-z]{2,}(?:\s+[a-z]+){1,4}"
    r"|[a-zA-Z](?:_(?:\{\w+\}|\w))?(?:\s*:\s*[a-zA-Z](?:_(?:\{\w+\}|\w))?)+"
    r"|\\?[a-zA-Z]+(?:_(?:\{\w+\}|\w))?'*(?:\s*(?:\([^()=]*\)|\[[^\[\]=]*\]))?)\s*(?:=(?!=)|\\approx(?![a-z]))\s*"
)
_IN = re.compile(r"[a-zA-Z]\s*\\in\s*(?=[\[(\\{]|\\mathbb)")
_NAMES = re.compile(r"\(\s*([a-z](?:_\w)?(?:\s*,\s*[a-z](?:_\w)?)+)\s*\)\s*=\s*(?=\\?[\[({])")
_SET_OF = re.compile(
    r"\\?\{\s*([a-z])(?:\s*\\in\s*\\mathbb\s*\{?R\}?)?\s*(?:\\mid|\\colon|:|\|)\s*(?P<condition>[^|]+?)\\?\}"
)
_BOTH = re.compile(
    r"(?P<name>[a-z])\s*(?P<sign1>\\[lg]e|[<>])\s*(?P<bound1>(?:(?!\\[lg]e(?![a-z])|[<>,;]).)+?)\s*(?:\band\b|\\land|\\wedge)\s*"
    r"(?P=name)\s*(?P<sign2>\\[lg]e|[<>])\s*(?P<bound2>(?:(?!\\[lg]e(?![a-z])|[<>,;]).)+)"
)
"""`x > 3 and x < 5`."""
_STATEMENTS = re.compile(r"[①-⑳]{2,}|(?=[A-F]{2,6}$)A?B?C?D?E?F?")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|csc|sec|cot)(?![a-z]).*\\circ", re.DOTALL)
_VARIABLES = re.compile(r"(?<=[\w)}])\s*[-+]|(?<![\\a-zA-Z])[a-zA-Z]")
"""In `i + 2 j` and `r^2 h` the last letter is a variable, in `2\\sqrt{3} m` a unit."""
LONGEST_STRUCTURE = 2000
"""Longer texts are one formula."""
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_TRAILING = re.compile(r"(?P<value>.*[\d)}\]a-z])(?P<gap>\s*)(?P<unit>(?:[a-zA-Z%°€£¥₹$\\]|\^\s*\\circ).*)", re.DOTALL)


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
    text = _unwrap(text) if len(text) <= LONGEST_STRUCTURE else text
    if _STATEMENTS.fullmatch(text):
        return Row("{", "}", tuple(Value(sign, settled=True) for sign in text))
    if OPTIONS.fullmatch(text):
        return Row("{", "}", tuple(Value(sign, settled=True) for sign in re.findall("[A-J]", text)))
    scalar = read_scalar(text)
    if scalar is not None or depth > 3 or len(text) > LONGEST_STRUCTURE:
        return scalar or Value(text)
    union = _split(text, re.compile(r"\s*\\cup\s*"))
    if len(union) > 1:
        return Row("∪", "∪", tuple(read_structure(part, depth + 1) for part in union))
    bracketed = _read_brackets(text, depth)
    if bracketed is not None:
        return bracketed
    tuples = _split(text, re.compile(r"\s*;\s*"))
    if len(tuples) > 1 and all("," in part and "=" in part for part in tuples):
        return Row("{", "}", tuple(read_structure(part, depth + 1) for part in tuples))
    parts = [part for part in _split(text, SEPARATOR) if part]
    if len(parts) > 1 and all(_can_stand_in_a_list(part) for part in parts):
        items = tuple(read_structure(part, depth + 1) for part in parts)
        return _assignments(items) or Row("{", "}", items)
    if text.count(r"\pm") == 1 and len(parts) == 1:
        return Row("{", "}", tuple(read_structure(text.replace(r"\pm", sign), depth + 1) for sign in ("+", "-")))
    return _formula(text)


def _unwrap(text: str) -> str:
    r"""Without `x \in` before a set, `(x, y) =` before a pair, and the braces around the condition of a set."""
    if _IN.match(text):
        return _IN.sub("", text, count=1)
    names = _NAMES.match(text)
    if names and (order := re.sub(r"\s", "", names[1]).split(",")) == sorted(order):
        return text[names.end() :]
    both = _BOTH.fullmatch(text)
    if both:
        return _chain_bounds(both)
    described = _SET_OF.fullmatch(text)
    return described["condition"].strip() if described and described[1] in described["condition"] else text


def _chain_bounds(both: re.Match[str]) -> str:
    """`x > 3 and x < 5` as `3 < x < 5`; two bounds on the same side stay."""
    bounds = sorted(((both[f"sign{at}"], both[f"bound{at}"]) for at in (1, 2)), key=lambda one: one[0] in ("<", r"\le"))
    (low, least), (high, most) = bounds
    if low in ("<", r"\le") or high in (">", r"\ge"):
        return both[0]
    return f"{least} {low.replace('g', 'l').replace('>', '<')} {both['name']} {high} {most}"


def _read_brackets(text: str, depth: int) -> Row | None:
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
    return bool(re.search(r"[\d\\①-⑳]|^[a-zA-Z]$|=|[<>]", part)) or bool(
        re.fullmatch(r"[A-Za-z][\w -]{1,30}|[a-z][\w^+*/-]*", part)
    )


def _assignments(items: tuple[Answer, ...]) -> Row | None:
    """`x = 1, y = 2` as the tuple of its values in the order of the names; `x_1 = 1, x_2 = 2` is a set of roots."""
    labels = [item.label for item in items if isinstance(item, Value)]
    if len({label.split("_")[0] for label in labels}) < len(labels):
        return None
    if len(labels) == len(items) and all(labels) and len(set(labels)) == len(labels):
        return Row("(", ")", tuple(sorted(items, key=lambda item: item.label if isinstance(item, Value) else "")))
    return None


def _formula(text: str) -> Value:
    """What is left to algebra, without the name and the unit around it."""
    label = _LABEL.match(text)
    if label and not re.search(r"[=<>]", text[label.end() :]) and text[label.end() :]:
        name = re.sub(r"\s", "", label[0].replace(r"\approx", "").rstrip("= "))
        inner = read_structure(text[label.end() :], 3)
        return replace(inner, label=name) if isinstance(inner, Value) else Value(text)
    split = None if _TRIGONOMETRY.search(text) else _TRAILING.fullmatch(text)
    if (split and not split["unit"].startswith("\\")) or (split and split["unit"].startswith("^")):
        for at in _unit_starts(text):
            alone = len(text[at:].strip()) == 1
            unit = None if alone and (text[at - 1] != " " or _VARIABLES.search(text[:at])) else known_unit(text[at:])
            if unit:
                return Value(text[:at].strip(), unit=unit)
    return Value(text)


def _unit_starts(text: str) -> Iterator[int]:
    """Places after a digit or closing bracket at which a unit may begin; a single letter needs a space before it."""
    for match in re.finditer(
        r"(?<=[\d)}])\s+(?=[a-zA-Z])|(?<=\\pi)\s+(?=[a-z]{2})|(?<=[\d)}])\s*(?=%|\^\\circ)|(?<=[\d)}])(?=[a-z]{2,})",
        text,
    ):
        yield match.end()
