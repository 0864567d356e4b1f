r"""Text to steps.

Ways to split:
    lines       at every line break.
    paragraphs  at blank lines.
    sentences   after `.`, `!`, `?` and their kin; never inside a number, an abbreviation or maths. A blank line ends a
                sentence, a single line break does not.
    numbered    before `Step k:` (in several languages), else before the items of numbered lists.
                The text before the first mark, and what follows a finished list, goes by paragraphs.
    code        fenced code is one step each, the prose around it goes by paragraphs. Without a fence: blocks that blank
                lines separate at the outermost indentation or, if there are none, its statements.
    regex:P     at every match of P, which belongs to no step. An empty match cuts at its position.
    auto        paragraphs (lines, if there is but one paragraph) and `Step k:` marks; without these, numbered items, if
                blank lines separate them or they outnumber the paragraphs around them. Marks with more than two
                paragraphs each are titles of chapters: paragraphs count then. A single line goes by sentences.

Fenced code, LaTeX environments, tables, column sums and maths that span lines stay whole in every way but `regex:`.
Line breaks of every kind are one. A step has content: layout (`stepscore.text.layout`) belongs to the span of the step
beside it and not to its text; a heading with words of its own is part of the step that it announces, and a piece
without a letter or digit is part of the step before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

import regex

from stepscore.errors import NoSteps, UnknownSplit
from stepscore.text.blocks import Blocks, blocks, fences
from stepscore.text.layout import LayoutLine, Reduced, find_layout, is_heading, leave_out, title_ends, unify_breaks
from stepscore.text.marks import Mark
from stepscore.text.numbering import (
    are_chapters,
    cut_at_marks,
    find_lists,
    items_that_are_steps,
    keep_bullets_whole,
)
from stepscore.types import Solution, SolutionRequest, Span, SplitSolution

REGEX_SECONDS = 1.0
"""How long a caller's pattern may search one text: patterns can take exponential time."""
REGEX_CHARACTERS = 500

_LINE = regex.compile(r"\r\n?|[\n\v\f\u2028\u2029]")
_BLANK = regex.compile(r"(?:\r\n?|\n)[^\S\r\n]*+(?:\r\n?|\n)\s*+")
_NO_SENTENCE_END = r"""
    \b(?: [Ee]\.g | [Ii]\.e | [Cc]f | [Vv]s | al | [Aa]pprox | [Rr]esp | [Ff]igs? | [Ee]qs? | Dr | Mrs? | Ms | Prof | St
        | Jr | Sr | Sec | Thm | Prop | Lem )
    | \b\p{Lu}\.\p{Lu}                  # U.S., J.K.
    | ^[ \t]*\d{1,3}                    # the number of a list item
    | \b[Ss]tep[ \t]+\d{1,3}
"""
_SENTENCE = regex.compile(
    rf"""(?: (?<![.!?…]) (?: (?<! {_NO_SENTENCE_END} ) (?! (?<=\bNos?)\.\s\d ) \. | [!?…] ) [.!?…]*+
             (?: ["'”’»)\]}}*_] | \$\$? | \\[\])] )*+
             \s++ (?= \*\* | [^\p{{Ll}}=+*/<>^,;:)\]}}×÷·≤≥≠-] )
        | (?<![。！？])[。！？]++ [”’」』）]*+ (?=\S) ) """,
    regex.VERBOSE | regex.MULTILINE,
)
_SAYS = regex.compile(r"[^\W_]")
_TOP_LEVEL = regex.compile(r"^(?=[^\s)\]}])(?!(?:else|elif|except|finally|catch)\b)", regex.MULTILINE)
_DECORATOR = regex.compile(r"^@[^\n]*\n\Z", regex.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    r"""One step as it is scored, and the characters [start, end) of the text that it is from.

    text: what is there, without layout, with `\n` as its line break, and without white space at either end.
    """

    text: str
    start: int
    end: int


def split(text: str, how: str = "auto") -> list[Step]:
    """The steps of `text`, ascending and disjoint; for every way but `regex:` their spans hold all but white space.

    Raises UnknownSplit for a way that does not exist or a pattern that cannot be used, NoSteps if nothing is left,
    TypeError if it is not a text.
    """
    if not isinstance(text, str):
        raise TypeError(f"split takes a text; this is a {type(text).__name__}")
    unified = unify_breaks(text)
    if how.startswith("regex:"):
        found = list(_between_matches(unified.text, how.removeprefix("regex:")))
    else:
        found = _split_content(unified.text, _way(how), () if _is_bare_code(unified.text, how) else None)
    if not found:
        message = (
            "The solution holds no step: it is empty, or holds only rules, headings, tags or matches of the pattern."
        )
        raise NoSteps(message, split=how)
    return [_at_home(step, unified) for step in found]


def split_steps(request: SolutionRequest) -> SplitSolution:
    """The solution in steps. Raises NoSteps or UnknownSplit."""
    found = _split_all(request)
    return _without_last(found) if request.partial else found


def _split_all(request: SolutionRequest) -> SplitSolution:
    if not isinstance(request.solution, str):
        if not request.solution:
            raise NoSteps("The solution holds no step; give at least one.")
        return SplitSolution(
            Solution(request.problem, request.solution), _joined_spans(request.solution), from_text=False
        )
    steps = split(request.solution, request.split)
    texts, spans = tuple(step.text for step in steps), tuple((step.start, step.end) for step in steps)
    return SplitSolution(Solution(request.problem, texts), spans, from_text=True)


def _without_last(found: SplitSolution) -> SplitSolution:
    """Raises NoSteps if the last step is the only one."""
    steps = found.solution.steps[:-1]
    if not steps:
        raise NoSteps("The solution holds no finished step yet.")
    return replace(found, solution=replace(found.solution, steps=steps), spans=found.spans[:-1])


def _joined_spans(steps: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The characters of each step in their concatenation."""
    spans, start = [], 0
    for step in steps:
        spans.append((start, start + len(step)))
        start += len(step)
    return tuple(spans)


def check_split(how: str) -> None:
    """Raises UnknownSplit for a way that does not exist, or a pattern that is not a regular expression."""
    if how.startswith("regex:"):
        _matches("", how.removeprefix("regex:"))
    else:
        _way(how)


def _way(how: str) -> Callable[[str], Iterable[Span]]:
    if how not in _WAYS:
        known = ", ".join([*_WAYS, "regex:<pattern>"])
        raise UnknownSplit(f"No way to split is called {how!r}; known: {known}.", split=how)
    return _WAYS[how]


def _is_bare_code(text: str, how: str) -> bool:
    return how == "code" and not fences(text)


def _split_content(
    text: str, way: Callable[[str], Iterable[Span]], layout: Sequence[LayoutLine] | None = None
) -> list[Step]:
    """The steps of the text without its layout, their spans with it. layout: None to look for it."""
    layout = find_layout(text) if layout is None else layout
    content = leave_out(text, layout)
    pieces = _pieces(content.text, way(content.text))
    joined = _join_titles(pieces, content, title_ends(text)) if layout else pieces
    return _with_layout([_at_home(piece, content) for piece in joined], layout)


def _join_titles(pieces: Iterable[Step], content: Reduced, ends: Set[int]) -> list[Step]:
    """The pieces, each that is no more than an underlined title (`ends`) joined to the one after it."""
    joined: list[Step] = []
    title: Step | None = None
    for piece in pieces:
        whole = _narrow(content.text, title.start, piece.end) if title else piece
        is_title = "\n" not in piece.text and content.position(piece.end - 1) + 1 in ends
        title = whole if is_title else None
        joined += [] if is_title else [whole]
    return [*joined, title] if title else joined


def _between_matches(text: str, pattern: str) -> Iterator[Step]:
    """The text between the matches, each without its layout; nothing of what holds only layout."""
    for piece in _pieces(text, _matches(text, pattern)):
        content = leave_out(piece.text, find_layout(piece.text)).text.strip()
        if content:
            yield Step(content, piece.start, piece.end)


def _at_home(step: Step, reduced: Reduced) -> Step:
    """The step with its span in the text from which `reduced` was made."""
    return Step(step.text, reduced.position(step.start), reduced.position(step.end - 1) + 1)


def _with_layout(steps: list[Step], layout: Iterable[LayoutLine]) -> list[Step]:
    """Layout between steps joined to them: what closes to the step before it, what opens to the one after it."""
    starts, ends = [step.start for step in steps], [step.end for step in steps]
    opened = -1
    for line in layout:
        after = bisect_right(starts, line.start)
        if after and line.start < ends[after - 1]:
            continue
        if after < len(steps) and (after == 0 or opened == after or not line.closes):
            opened, starts[after] = after, min(starts[after], line.start)
        elif steps:
            ends[after - 1] = line.end
    return [Step(step.text, start, end) for step, start, end in zip(steps, starts, ends, strict=True)]


def _pieces(text: str, separators: Iterable[Span]) -> list[Step]:
    """The text between the separators (ascending spans, possibly empty), without white space, without empty pieces."""
    edges = [0, *(edge for span in separators for edge in span), len(text)]
    pieces = zip(edges[::2], edges[1::2], strict=True)
    return [_narrow(text, start, end) for start, end in pieces if start < end and not text[start:end].isspace()]


def _narrow(text: str, start: int, end: int) -> Step:
    piece = text[start:end]
    stripped = piece.strip()
    left = start + len(piece) - len(piece.lstrip())
    return Step(stripped, left, left + len(stripped))


def _outside(separators: Iterable[Span], whole: Blocks) -> Iterator[Span]:
    return (span for span in separators if not whole.holds(span[0]))


def _join_headings(text: str, separators: Iterable[Span]) -> list[Span]:
    """The separators but those after a piece that only announces the next one, and before one of mere signs."""
    kept: list[Span] = []
    at = 0
    for start, end in [*separators, (len(text), len(text))]:
        piece, at = text[at:start].strip(), end
        if piece and not _SAYS.search(piece):
            kept[-1:] = [(start, end)] if kept else []
        elif piece and not is_heading(piece, text[end : end + 80].lstrip()):
            kept.append((start, end))
    last = len(text.rstrip())
    return [span for span in kept if span[0] < last]


def _lines(text: str) -> list[Span]:
    return _join_headings(text, _outside((match.span() for match in _LINE.finditer(text)), blocks(text)))


def _paragraphs(text: str) -> list[Span]:
    return _join_headings(text, _outside((match.span() for match in _BLANK.finditer(text)), blocks(text)))


def _sentences(text: str) -> list[Span]:
    ends = [(match.end(), match.end()) for match in _SENTENCE.finditer(text)]
    every = sorted([*ends, *((end, end) for _, end in _paragraphs(text))])
    return _join_headings(text, _outside(every, blocks(text, inline=True)))


def _split_numbered(text: str) -> list[Span]:
    lists = find_lists(text)
    if sum(map(len, lists)) < 2:
        return [(mark.at, mark.at) for items in lists for mark in items]
    return _join_headings(text, cut_at_marks(_units(text), lists))


def _units(text: str) -> list[Span]:
    """Where the text's paragraphs end, or its lines if it has but one."""
    paragraphs = _paragraphs(text)
    return paragraphs if len(_pieces(text, paragraphs)) > 1 else keep_bullets_whole(text, _lines(text))


def _auto(text: str) -> list[Span]:
    units = _units(text)
    lists: Sequence[Sequence[Mark]] = find_lists(text)
    if len(_pieces(text, units)) < 2:
        return _sentences(text)
    if not (lists and lists[0][0].named):
        units, lists = items_that_are_steps(text, units, lists)
    if sum(map(len, lists)) < 2 or are_chapters(units, lists):
        return units
    return _join_headings(text, cut_at_marks(units, lists))


def _code(text: str) -> Iterable[Span]:
    fenced = fences(text)
    if fenced:
        edges = [(edge, edge) for span in fenced for edge in span]
        return sorted([*edges, *_outside(_paragraphs(text), Blocks(fenced))])
    return _blank_before_statement(text) or list(_statements(text))


def _blank_before_statement(text: str) -> list[Span]:
    return [m.span() for m in _BLANK.finditer(text) if _TOP_LEVEL.match(text, text.rfind("\n", 0, m.end()) + 1)]


def _statements(text: str) -> Iterator[Span]:
    starts = [match.start() for match in _TOP_LEVEL.finditer(text)]
    for previous, start in pairwise(starts):
        if not _DECORATOR.search(text, previous, start):
            yield start, start


def _matches(text: str, pattern: str) -> list[Span]:
    if len(pattern) > REGEX_CHARACTERS:
        raise UnknownSplit(f"The pattern is longer than {REGEX_CHARACTERS} characters.", split=f"regex:{pattern[:50]}…")
    try:
        found = regex.compile(pattern, regex.MULTILINE).finditer(text, timeout=REGEX_SECONDS, concurrent=True)
        return [match.span() for match in found]
    except regex.error as error:
        raise UnknownSplit(
            f"The pattern {pattern!r} is not a regular expression: {error}.", split=f"regex:{pattern}"
        ) from error
    except TimeoutError as error:
        message = (
            f"The pattern {pattern!r} searched this text for {REGEX_SECONDS:g} s; write it without nested repeats."
        )
        raise UnknownSplit(message, split=f"regex:{pattern}") from error


_WAYS: dict[str, Callable[[str], Iterable[Span]]] = {
    "auto": _auto,
    "lines": _lines,
    "paragraphs": _paragraphs,
    "sentences": _sentences,
    "numbered": _split_numbered,
    "code": _code,
}
