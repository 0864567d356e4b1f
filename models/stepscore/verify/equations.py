"""Where a text writes out a calculation: the expressions on both sides of each equals sign, as far as they reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepscore.verify.tokens import Token, plain, tokens

Side = tuple[Token, ...]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


AFTER_THESE = _words(
    "plus minus times over by divided multiplied than of sqrt root log ln sin cos tan floor ceil lcm gcd mod max min"
    " squared cubed half twice double triple choose base"
)
"""Words that change the number after them: a calculation that follows one is only a part."""

BEFORE_THESE = _words(
    "dozen dozens hundred thousand million billion trillion squared cubed half mod modulo choose plus minus times"
    " divided multiplied over factorial remainder of"
)
"""Words that change the number before them."""

NO_UNITS = _words("because is are was were and so then equals makes gives but if or")
"""Words that end what comes before them: they belong to a sentence, not to a number."""

UNIT_WORDS = 3
"""The most words between a number and the operator after it (`12 dollars per hour * 3`)."""


@dataclass(frozen=True, slots=True)
class Link:
    """One `left = right`. left, right: numbers, operators, brackets and percent signs. units: words that were dropped.

    shown: the two sides as they were written. hundredths: whether percent or cents are about.
    """

    left: Side
    right: Side
    units: frozenset[str]
    shown: str
    hundredths: bool


def links(step: str) -> Iterator[Link]:
    """Every link of every chain in a text; what cannot be read as a whole is left out."""
    text = plain(step)
    found = _of_as_times(list(tokens(text)))
    for at, token in enumerate(found):
        if token.kind == "equals":
            first, last = _reach_left(found, at), _reach_right(found, at)
            if first is not None and last is not None and _computes(found, first, last, at):
                yield from _link(text, found[first:at], found[at + 1 : last])


def _computes(found: Sequence[Token], first: int, last: int, equals: int) -> bool:
    """Whether the left side is more than a number (`2 days = 7 + 2`), or a number of a chain (`7 = 8 = 3 + 5`)."""
    left = found[first:equals]
    before = found[first - 1].kind if first > 0 else "barrier"
    numbers = [token.kind for token in found[first : last + 1]] == ["number", "equals", "number", "equals"]
    return any(token.kind == "operator" for token in left) or before == "equals" or (before == "barrier" and numbers)


def _link(text: str, left: Sequence[Token], right: Sequence[Token]) -> Iterator[Link]:
    words = [token.text.casefold() for token in (*left, *right) if token.kind == "word"]
    if not left or not right or BEFORE_THESE & set(words):
        return
    first, second = (
        _without_outer_brackets(_bare(left), opening=True),
        _without_outer_brackets(_bare(right), opening=False),
    )
    if first and second:
        shown = text[left[0].start : right[-1].end]
        around = f"{shown} {text[right[-1].end :][:8]}".casefold()
        cents = any(sign in around for sign in ("cent", "%", "¢"))
        units = frozenset(word.removesuffix("s") for word in words)
        yield Link(first, second, units, " ".join(shown.split()), cents)


def _bare(side: Sequence[Token]) -> Side:
    return tuple(token for token in side if token.kind != "word")


def _without_outer_brackets(side: Side, *, opening: bool) -> Side:
    """Without the brackets of the sentence: those at the outer end that have no partner on this side."""
    surplus = sum(token.kind == "open" for token in side) - sum(token.kind == "close" for token in side)
    if opening:
        while surplus > 0 and side[0].kind == "open":
            side, surplus = side[1:], surplus - 1
    else:
        while surplus < 0 and side[-1].kind == "close":
            side, surplus = side[:-1], surplus + 1
    return side if surplus == 0 else ()


def _reach_left(found: Sequence[Token], equals: int) -> int | None:
    """Index of the first token of the expression that ends before the sign; None if it is a part of something."""
    at = equals
    words = 0
    while at > 0 and (found[at - 1].kind not in ("equals", "barrier")):
        token = found[at - 1]
        words = words + 1 if token.kind == "word" else 0
        if token.kind == "word" and (words > UNIT_WORDS or not _behind_number(found, at - 1)):
            break
        if (
            token.kind == "number"
            and at < equals
            and found[at].kind == "number"
            and not _is_mixed_number(found, at - 1)
        ):
            break
        at -= 1
    return at if at < equals and not _is_attached(found, at) else None


def _behind_number(found: Sequence[Token], at: int) -> bool:
    """Whether this word belongs to a number before it and an operator or the equals sign after it."""
    after = at + 1
    while after < len(found) and found[after].kind == "word":
        after += 1
    before = at - 1
    while before >= 0 and found[before].kind == "word" and at - before <= UNIT_WORDS:
        before -= 1
    if found[at].text.casefold() in NO_UNITS:
        return False
    follows = after < len(found) and found[after].kind in ("operator", "equals", "close")
    return follows and before >= 0 and found[before].kind in ("number", "close", "percent")


def _is_attached(found: Sequence[Token], at: int) -> bool:
    """Whether what comes before the expression changes it: an operator's other side, a letter, a function."""
    if at == 0:
        return False
    before, first = found[at - 1], found[at]
    if before.kind == "equals":
        return False
    touching = before.end == first.start and (before.text not in "¦:;,.\"'" or _between_digits(found, at - 1))
    if first.kind == "operator":
        return before.kind == "word" or before.text not in "¦:;,.("
    split = before.kind == first.kind == "number"
    return touching or split or before.text in "\\_^/<>≤≥≠≈~…" or before.text.casefold() in AFTER_THESE


def _reach_right(found: Sequence[Token], equals: int) -> int | None:
    """Index after the last token of the expression after the sign; None if it is a part of something."""
    at = equals + 1
    while at < len(found) and found[at].kind not in ("equals", "barrier"):
        if found[at].kind == "number" and found[at - 1].kind == "number" and not _is_mixed_number(found, at - 1):
            break
        after = _after_unit(found, equals, at) if found[at].kind == "word" else at + 1
        if after is None:
            break
        at = after
    if at == equals + 1 or found[at - 1].kind == "operator":
        return None
    return None if at < len(found) and _continues(found, at) else at


def _after_unit(found: Sequence[Token], equals: int, at: int) -> int | None:
    """Index after the words at `at`, if they are units in a calculation after the sign (`= 7 apples + 5 apples =`)."""
    after = at
    while after < len(found) and found[after].kind == "word":
        after += 1
    named = not any(token.text.casefold() in NO_UNITS for token in found[at : min(after, at + UNIT_WORDS)])
    if after - at > UNIT_WORDS or not named or found[at - 1].kind not in ("number", "close", "percent"):
        return None
    kinds = [token.kind for token in found[after : after + 2]]
    apart = after < len(found) and found[after - 1].end < found[after].start
    continues = apart and kinds in (["operator", "number"], ["operator", "open"])
    ends = kinds[:1] == ["equals"] and any(token.kind == "operator" for token in found[equals:at])
    return after if continues or ends else None


def _continues(found: Sequence[Token], at: int) -> bool:
    """Whether what follows the expression changes it: a letter that touches it, a unit of thousands, a relation."""
    last, after = found[at - 1], found[at]
    if after.kind == "equals":
        return False
    if after.kind == "word":
        following = found[at + 1] if at + 1 < len(found) else after
        return after.text.casefold() in BEFORE_THESE or following.kind in ("operator", "equals")
    touching = last.end == after.start and (after.text not in "¦:;,.\"'?" or _between_digits(found, at))
    variable = after.kind == "barrier" and after.text.isalpha() and after.text not in "aAI"
    return touching or variable or after.kind == "number" or after.text in "\\_<>≤≥≠≈~…"


def _between_digits(found: Sequence[Token], at: int) -> bool:
    """Whether a sign is inside what looks like one number or a time: `16,0000`, `7:50`."""
    around = found[max(at - 1, 0) : at + 2]
    touching = len(around) == 3 and around[0].end == around[1].start and around[1].end == around[2].start
    return touching and around[0].kind == around[2].kind == "number"


def _is_mixed_number(found: Sequence[Token], at: int) -> bool:
    """Whether a number and the three tokens after it are a mixed number, `3 1/2`."""
    parts = found[at : at + 4]
    kinds = [part.kind for part in parts]
    return kinds == ["number", "number", "operator", "number"] and parts[2].text == "/" and parts[0].text.isdigit()


def _of_as_times(found: list[Token]) -> list[Token]:
    """`20% of 50` and `1/2 of 8` are products."""
    for at, token in enumerate(found[1:-1], start=1):
        if token.kind == "word" and token.text.casefold() == "of" and found[at + 1].kind in ("number", "open"):
            ratio = at >= 3 and [one.kind for one in found[at - 3 : at]] == ["number", "operator", "number"]
            if found[at - 1].kind in ("percent", "close") or (ratio and found[at - 2].text == "/"):
                found[at] = Token("operator", "*", token.start, token.end)
    return found
