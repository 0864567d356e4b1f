"""Where numbered text is cut: at its marks, and where a finished list gives way to paragraphs again."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from stepscore.text.blocks import blocks
from stepscore.text.marks import Mark, find_marks, item_lists, named_lists
from stepscore.types import Span

_BULLET = regex.compile(r"^[ \t]{0,3}[-*+•][ \t]++\S", regex.MULTILINE)
_BULLETS = regex.compile(
    r"^[ \t]{0,3}[-*+•][ \t]++\S[^\n]*+(?:\n(?:[ \t]++|[-*+•][ \t]++)\S[^\n]*+)++", regex.MULTILINE
)
CHAPTER = 2
"""Marks with more paragraphs than this between them, on average, are the titles of chapters, not of steps."""


def find_lists(text: str) -> list[list[Mark]]:
    """The lists of `Step k:` marks, else those of numbered items; none that begin within code, maths or tables."""
    whole = blocks(text)
    marks = [mark for mark in find_marks(text) if not whole.holds(mark.at)]
    return named_lists(marks) or item_lists(marks)


def cut_at_marks(units: Sequence[Span], lists: Sequence[Sequence[Mark]]) -> list[Span]:
    """Separators of a text: its marks, and those of its `units` (paragraphs or lines) that no item holds.

    An item holds all up to the next mark. The last one of a list holds no more units than the longest before it: what
    follows it is outside the list.
    """
    sections = _sections(units, lists)
    dropped = {at for section in sections for at in range(section.first, section.first + section.held - 1)}
    kept = [span for at, span in enumerate(units) if at not in dropped]
    return sorted([*kept, *((mark.at, mark.at) for items in lists for mark in items)])


def are_chapters(units: Sequence[Span], lists: Sequence[Sequence[Mark]]) -> bool:
    sections = _sections(units, lists)
    return sum(section.held for section in sections) > CHAPTER * len(sections)


@dataclass(frozen=True, slots=True)
class _Section:
    """The text between a mark and the next. first: its first separator, by index. held: the units in it."""

    first: int
    held: int


def _sections(units: Sequence[Span], lists: Sequence[Sequence[Mark]]) -> list[_Section]:
    starts, ends = [start for start, _ in units], [end for _, end in units]
    marks = [mark for items in lists for mark in items]
    firsts = [bisect_left(starts, mark.at) for mark in marks]
    nexts = [*(bisect_left(ends, mark.at - mark.indent) for mark in marks[1:]), len(units)]
    counts = [last - first + 1 for first, last in zip(firsts, nexts, strict=True)]
    held, at = [], 0
    for items in lists:
        *earlier, last = counts[at : at + len(items)]
        held += [*earlier, min(last, max(earlier, default=1))]
        at += len(items)
    return [_Section(first, count) for first, count in zip(firsts, held, strict=True)]


def items_that_are_steps(
    text: str, units: Sequence[Span], lists: Sequence[Sequence[Mark]]
) -> tuple[list[Span], list[Sequence[Mark]]]:
    """The units with each short list whole, and the lists whose items are steps.

    A list without a blank line between its items is one piece, unless its items outnumber the units around it.
    """
    starts, ends = [start for start, _ in units], [end for _, end in units]
    dropped, steps = set[int](), list[Sequence[Mark]]()
    for items in lists:
        inner = range(bisect_left(starts, items[0].at), bisect_right(ends, items[-1].at))
        if len(items) == 1:
            continue
        if _has_blank(text, units, inner):
            steps.append(_at_units(items, ends))
        elif len(items) > len(units) - len(inner):
            steps.append(items)
        else:
            dropped.update(inner)
    return [span for at, span in enumerate(units) if at not in dropped], steps


def _at_units(items: Sequence[Mark], ends: Sequence[int]) -> list[Mark]:
    """The items that begin a paragraph; one within a paragraph does not divide it."""
    return [
        mark
        for mark in items
        if mark.at == mark.indent or bisect_right(ends, mark.at) > bisect_left(ends, mark.at - mark.indent)
    ]


def keep_bullets_whole(text: str, units: Sequence[Span]) -> list[Span]:
    """The lines of a text, with each list of bullets in one piece unless its items outnumber the lines around it."""
    starts = [start for start, _ in units]
    dropped = set[int]()
    for run in _BULLETS.finditer(text):
        inner = range(bisect_left(starts, run.start()), bisect_left(starts, run.end()))
        items = sum(1 for _ in _BULLET.finditer(text, *run.span()))
        if items <= len(units) - len(inner):
            dropped.update(inner)
    return [span for at, span in enumerate(units) if at not in dropped]


def _has_blank(text: str, units: Sequence[Span], inner: range) -> bool:
    return any(text.count("\n", *units[at]) > 1 for at in inner)
