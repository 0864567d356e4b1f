r"""Text to steps. Every step is a slice of the text as it was given: `text[step.start:step.end] == step.text`.

Ways to split:
    lines       at every line break.
    paragraphs  at blank lines.
    sentences   after `.`, `!`, `?` and their kin; never inside a number, an abbreviation or maths. A blank line ends a
                sentence, a single line break does not.
    numbered    before `Step k:`, or before `1.` or `1)`, at the start of a line; the first such mark decides which of
                the two counts. Text before the first mark is a step of its own.
    code        fenced code is one step each, the prose around it goes by paragraphs. Without a fence: blocks that blank
                lines separate at the outermost indentation or, where there are none, its statements.
    regex:P     at every match of P, which belongs to no step. An empty match cuts where it stands.
    auto        numbered if that gives two steps or more, else paragraphs, else lines, else sentences.

Fenced code, LaTeX environments and maths that span lines stay whole in every way but `regex:`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import regex

from stepscore.errors import NoSteps, UnknownSplit
from stepscore.text.blocks import Blocks, Span, blocks, fences

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
    rf"""(?: (?: (?<! {_NO_SENTENCE_END} ) (?! (?<=\bNos?)\.\s\d ) \. | [!?…] ) [.!?…]*+
             (?: ["'”’»)\]}}*_] | \$\$? | \\[\])] )*+
             \s++ (?= \*\* | [^\p{{Ll}}=+*/<>^,;:)\]}}×÷·≤≥≠-] )
        | [。！？]++ [”’」』）]*+ (?=\S) ) """,
    regex.VERBOSE | regex.MULTILINE,
)
_MARK = regex.compile(
    r"""^(?P<indent>[ \t]*) (?:\#{1,6}[ \t]*)? (?:\*\*|__)?
        (?: (?P<step>step[ \t]*\d{1,4}) [ \t]*(?:[:.)–—*_-]|$) | (?P<item>\d{1,3})[.)](?:\*\*|__)?(?=\s) )""",
    regex.VERBOSE | regex.MULTILINE | regex.IGNORECASE,
)
_TOP_LEVEL = regex.compile(r"^(?=[^\s)\]}])(?!(?:else|elif|except|finally|catch)\b)", regex.MULTILINE)
_DECORATOR = regex.compile(r"^@[^\n]*\n\Z", regex.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """One step and the characters [start, end) of the text that it was cut from; no white space at either end."""

    text: str
    start: int
    end: int


def split(text: str, how: str = "auto") -> list[Step]:
    """The steps of `text`, ascending and disjoint; for every way but `regex:` they hold all that is not white space.

    Raises UnknownSplit for a way that does not exist or a pattern that cannot be used, NoSteps where nothing is left.
    """
    steps = _steps(text, _way(how)(text))
    if not steps:
        raise NoSteps("The solution holds no step: it is empty, or nothing is left between the matches.", split=how)
    return steps


def _way(how: str) -> Callable[[str], Iterable[Span]]:
    if how.startswith("regex:"):
        return lambda text: _matches(text, how.removeprefix("regex:"))
    if how not in _WAYS:
        known = ", ".join([*_WAYS, "regex:<pattern>"])
        raise UnknownSplit(f"No way to split is called {how!r}; known: {known}.", split=how)
    return _WAYS[how]


def _steps(text: str, separators: Iterable[Span]) -> list[Step]:
    """What lies between the separators (ascending spans, possibly empty), without white space, without empty pieces."""
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


def _lines(text: str) -> Iterable[Span]:
    return _outside((match.span() for match in _LINE.finditer(text)), blocks(text))


def _paragraphs(text: str) -> Iterable[Span]:
    return _outside((match.span() for match in _BLANK.finditer(text)), blocks(text))


def _sentences(text: str) -> Iterable[Span]:
    whole = blocks(text, inline=True)
    ends = [(match.end(), match.end()) for match in _SENTENCE.finditer(text)]
    return _outside(sorted([*ends, *((end, end) for _, end in _paragraphs(text))]), whole)


def _numbered(text: str) -> Iterable[Span]:
    whole = blocks(text)
    marks = [mark for mark in _MARK.finditer(text) if not whole.holds(mark.start())]
    return [(mark.start(), mark.start()) for mark in _counting(marks)]


def _counting(marks: list[regex.Match[str]]) -> Iterator[regex.Match[str]]:
    """The marks that open a step: of the first one's kind; items of a list in sequence and indented no further."""
    last: regex.Match[str] | None = None
    for mark in marks:
        if last is None or (last["step"] and mark["step"]) or _follows(marks[0], last, mark):
            yield mark
            last = mark


def _follows(first: regex.Match[str], last: regex.Match[str], mark: regex.Match[str]) -> bool:
    if not (last["item"] and mark["item"]):
        return False
    return int(mark["item"]) == int(last["item"]) + 1 and len(mark["indent"]) <= len(first["indent"])


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


def _auto(text: str) -> Iterable[Span]:
    for way in (_numbered, _paragraphs, _lines):
        separators = list(way(text))
        if len(_steps(text, separators)) > 1:
            return separators
    return _sentences(text)


def _matches(text: str, pattern: str) -> list[Span]:
    if len(pattern) > REGEX_CHARACTERS:
        raise UnknownSplit(f"The pattern is longer than {REGEX_CHARACTERS} characters.", split=f"regex:{pattern[:50]}…")
    try:
        found = regex.compile(pattern, regex.MULTILINE).finditer(text, timeout=REGEX_SECONDS, concurrent=True)
        return [match.span() for match in found]
    except regex.error as error:
        raise UnknownSplit(
            f"The pattern {pattern!r} is no regular expression: {error}.", split=f"regex:{pattern}"
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
    "numbered": _numbered,
    "code": _code,
}
