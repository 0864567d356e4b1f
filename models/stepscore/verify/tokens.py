r"""Text as tokens of arithmetic: numbers, operators, brackets, equals signs, units, and everything else as a barrier.

LaTeX and typographic spellings become plain ones first: `\times`, `×` and `x` between numbers are `*`, `\frac{a}{b}` is
`((a)/(b))`, currency signs, degree signs and calculator notes (`<<3*4=12>>`) are dropped. The sign of a list's
item, in the line after a calculation, is a barrier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "operator", "open", "close", "equals", "percent", "word", "barrier"]

LONGEST = 20_000
"""Characters of a step that are read; what follows is not judged."""

_REPLACED = (
    (re.compile(r"<<[^<>]*>>"), ""),
    (re.compile(r"\\(?:left|right|big|Big)(?![a-z])"), ""),
    (re.compile(r"\\[,;:! ]|~|&|\\displaystyle(?![a-z])|\^\{?\\circ\}?|°"), " "),
    (re.compile(r"\\[cl]?dots(?![a-z])|\.\.\.+"), "…"),
    (re.compile(r"\\text\s*\{([^{}]*)\}|\\mathrm\s*\{([^{}]*)\}"), r" \1\2 "),
    (re.compile(r"\$\$"), "¦"),
    (re.compile(r"\\\$|\$(?=\s?[\d.(-])|[€£]"), ""),
    (re.compile(r"\\%|\s?percent\b"), "%"),
    (re.compile(r"\\(?:times|cdot|ast)(?![a-z])|[×·∗⋅]"), "*"),
    (re.compile(r"\\div(?![a-z])|÷"), "/"),
    (re.compile(r"(\d)\s*\\[dt]?frac\s*\{(\d+)\}\s*\{(\d+)\}"), r"\1 \2/\3"),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"²"), "^2"),
    (re.compile(r"³"), "^3"),
    (re.compile(r"(?<=[\d)%])(\s*)[xX](\s*)(?=[\d(.])"), r"\1*\2"),
    (re.compile(r"(?<=[a-z])( +)[xX]( +)(?=[\d(.])"), r"\1*\2"),
    (re.compile(r"\*\*"), " "),
    (re.compile(r"(=[^=\n]*\n\s*)[-*](?=[ \t])(?!\s*[\d.,]+\s*=)"), r"\1¦"),
)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_BRACES = str.maketrans("{}[]", "()()")
_TOKEN = re.compile(
    r"(?P<number>(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?(?![\d,]*,\d)|\.\d+)|(?P<operator>[-+*/^])|(?P<open>\()"
    r"|(?P<close>\))|(?P<equals>=)|(?P<percent>%)|(?P<word>(?<![A-Za-z\\_\d)])[A-Za-z]{2,}(?![A-Za-z_(^]))|(?P<barrier>\S)"
)


@dataclass(frozen=True, slots=True)
class Token:
    """start, end: its place in the plain text."""

    kind: Kind
    text: str
    start: int
    end: int


def plain(step: str) -> str:
    """The step in plain spelling; brackets of every kind are round."""
    text = step[:LONGEST]
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    for _ in range(4):
        text = _FRACTION.sub(r"((\1)/(\2))", text)
    return re.sub(r"\\[()\[\]]", "¦", text).translate(_BRACES)


def tokens(text: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        kind: Kind = match.lastgroup  # type: ignore[assignment]
        yield Token(kind, match[0], match.start(), match.end())
