"""Blocks that no way of splitting may cut: fenced code, LaTeX environments, maths, tables and sums written in columns.

Linear in the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

import regex

from stepscore.types import Span

_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_TEX = re.compile(
    r"\\(?P<verb>begin|end)\{(?P<name>[^{}\n]{1,40})\}"
    r"|(?P<open>\\[\[(])"
    r"|(?P<close>\\[\])])"
    r"|\\."  # any other escape, so that `\\[2pt]` and `\$` open nothing
    r"|(?P<dollars>\$\$)"
    r"|(?P<blank>\n[^\S\n]*\n)"
)
# Pandoc's rule, which tells `$x+1$` from `$5 and $6`: no space just inside, no digit just after.
_INLINE = re.compile(r"(?<![\\$])\$(?![\s$])(?:[^$\n\\]|\\.)*(?<!\s)\$(?![\d$])")
_WORDS = re.compile(r"\\[a-z]+\{[^{}]*\}")
_PROSE = re.compile(r"(?<![\\a-zA-Z])[A-Za-z]{2,},? [a-z]{2,}")
LONGEST_DISPLAY = 2000
"""Characters of maths that holds a blank line."""

_CLOSER = {r"\[": r"\]", r"\(": r"\)"}
_CELLS = regex.compile(r"^[^\n|]*+\|[^\n]*+(?:\n[^\n|]*+\|[^\n]*+)++", regex.MULTILINE)
_UNDER_HEAD = regex.compile(r"[ \t]*+\|?+(?:[ \t]*+:?+-++:?+[ \t]*+\|?+)++$", regex.MULTILINE)
_FIGURES = regex.compile(r"^[-+×x*÷/−\d=_—─.,$% \t]++(?:\n[-+×x*÷/−\d=_—─.,$% \t]++)++$", regex.MULTILINE)
_SUM = regex.compile(r"^[ \t]*+[-+×x*÷/−][ \t$]*+\d[\d.,$% \t]*+\n[ \t]*+[-=_—─]{2,}+[ \t]*+\n", regex.MULTILINE)


class Blocks:
    """Disjoint spans of a text, ascending."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans = _union(spans)
        self._starts = [start for start, _ in self.spans]

    def holds(self, position: int) -> bool:
        """Whether the position lies strictly inside a span, so that no cut may fall there."""
        at = bisect_right(self._starts, position) - 1
        return at >= 0 and self.spans[at][0] < position < self.spans[at][1]

    def covers(self, position: int) -> bool:
        """Whether the character at the position is one of a span's."""
        at = bisect_right(self._starts, position) - 1
        return at >= 0 and position < self.spans[at][1]


def fences(text: str) -> list[Span]:
    """Fenced code from the opening line to the closing one; a fence that is never closed runs to the end."""
    spans: list[Span] = []
    opened: tuple[int, str] | None = None
    for line in _FENCE.finditer(text):
        mark, rest = line[1], line[2]
        if opened is None:
            if mark[0] == "~" or "`" not in rest:
                opened = (line.start(1), mark)
        elif mark.startswith(opened[1]) and not rest.strip():
            spans.append((opened[0], line.end()))
            opened = None
    return spans if opened is None else [*spans, (opened[0], len(text))]


def blocks(text: str, inline: bool = False) -> Blocks:
    """Everything in `text` that stays whole; with `inline` also `$…$` within a line, for sentence ends inside maths."""
    fenced = Blocks(fences(text))
    spans = [*fenced.spans, *_environments(text, fenced), *_display_maths(text, fenced), *_tables(text), *_sums(text)]
    if inline:
        spans += [match.span() for match in _INLINE.finditer(text) if not fenced.holds(match.start())]
    return Blocks(spans)


def _environments(text: str, fenced: Blocks) -> Iterator[Span]:
    r"""`\begin{x}…\end{x}` pairs; an end without a beginning and a beginning without an end are plain text."""
    opened: list[tuple[str, int]] = []
    names: dict[str, int] = {}
    for token in _tokens(text, fenced):
        name = token["name"]
        if token["verb"] == "begin":
            opened.append((name, token.start()))
            names[name] = names.get(name, 0) + 1
        elif token["verb"] == "end" and names.get(name):
            last, start = "", 0
            while last != name:
                last, start = opened.pop()
                names[last] -= 1
            yield start, token.end()


def _display_maths(text: str, fenced: Blocks) -> Iterator[Span]:
    r"""`$$…$$`, `\[…\]` and `\(…\)`; a blank line ends the hope for a closing mark, but not for that of `\[`.

    Nor for that of `$$` on a line of its own, if another such line follows before any other `$$` and no prose between.
    """
    opened: tuple[str, int] | None = None
    alone: int | None = None
    for token in _tokens(text, fenced):
        mark = token[0]
        if token["blank"]:
            if opened and opened[0] == "$$" and _stands_alone(text, opened[1]):
                alone = opened[1]
            opened = opened if opened and opened[0] == r"\]" else None
        elif token["dollars"] or token["close"]:
            if opened and opened[0] == mark:
                yield opened[1], token.end()
                opened = None
            elif token["dollars"] and alone is not None and _closes(text, alone, token.start()):
                yield alone, token.end()
            elif token["dollars"] and opened is None:
                opened = (mark, token.start())
            alone = None if token["dollars"] else alone
        elif token["open"] and (opened is None or mark == r"\["):
            opened = (_CLOSER[mark], token.start())


def _stands_alone(text: str, at: int) -> bool:
    """Whether the `$$` at this place is all of its line."""
    start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    return text[start : end if end >= 0 else len(text)].strip() == "$$"


def _closes(text: str, opened: int, at: int) -> bool:
    inside = text[opened:at]
    return len(inside) <= LONGEST_DISPLAY and _stands_alone(text, at) and not _PROSE.search(_WORDS.sub("", inside))


def _tables(text: str) -> Iterator[Span]:
    """Lines with `|`, of which the second rules off a head."""
    for run in _CELLS.finditer(text):
        head_end = text.find("\n", run.start())
        if _UNDER_HEAD.match(text, head_end + 1):
            yield run.span()


def _sums(text: str) -> Iterator[Span]:
    """Lines of figures, of which one is a stroke beneath a number."""
    return (run.span() for run in _FIGURES.finditer(text) if _SUM.search(text, *run.span()))


def _tokens(text: str, fenced: Blocks) -> Iterator[re.Match[str]]:
    return (token for token in _TEX.finditer(text) if not fenced.holds(token.start()))


def _union(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
