r"""Final answers: where a solution states it, and whether two of them are the same.

An answer is looked for in this order, and the last one of its kind counts: `\boxed{x}` (braces may nest), `#### x`,
`A: x` or `Answer: x` at the start of a line and "the answer is x", and at last the last number of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stepscore.verify.answer_pool import JUDGE
from stepscore.verify.normal import Form, form

MAX_ALGEBRA_CHARACTERS = 256
"""Longer answers are compared as text only."""

_BRACES = re.compile(
    r"\\(?:boxed|fbox)\s*(?P<box>\{)|(?P<bare>\\boxed\s+\S+)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL
)
_HASHES = re.compile(r"^[^\S\n]*####[^\S\n]*(\S[^\n]*)$", re.MULTILINE)
_STATED = re.compile(
    r"(?:^[^\S\n]*(?:\*\*|__|\#{1,4}[ ])?(?:final[ ]+answer|answer|a)(?:\*\*|__)?[ ]*:(?:\*\*|__)?[ ]*"
    r"|\banswer(?:[ ]+is)?[ ]*(?::|(?<=is))[ ]*)(?P<rest>\S[^\n]*)",
    re.MULTILINE | re.IGNORECASE,
)
_SENTENCE = re.compile(r"^(.*?)(?:[.!?](?=\s)|$)")
_MATHS = re.compile(r"\\\((.+?)\\\)|\$([^$]*[^$\d][^$]*)\$")
_NUMBER = re.compile(r"(?:(?<![\w)])-)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?%?|(?<!\d)\.\d+")
_LEADING_NUMBER = re.compile(rf"[$€£]?\s*({_NUMBER.pattern})(?=[\s.,;!]|$)")


def final_answer(text: str) -> str | None:
    """The final answer as the text states it, or None where it holds neither a statement nor a number."""
    boxed = _last(_boxes(text))
    if boxed:
        return boxed
    hashes = _last(match[1].strip() for match in _HASHES.finditer(text))
    stated = _last(_stated(match["rest"]) for match in _STATED.finditer(text))
    return hashes or stated or _last(match[0] for match in _NUMBER.finditer(text))


def same_answer(one: str, other: str) -> bool:
    """Whether two answers are equal: by their plain forms, else by math-verify. Safe from any thread."""
    return group_answers([one, other]) == [[0, 1]]


def group_answers(answers: Sequence[str | None]) -> list[list[int]]:
    """Indices of equal answers, groups and members in order of first appearance; None is never equal to anything.

    Each answer joins the first group whose first member it equals. Equality by algebra has an end (`judge`): answers
    that could not be shown equal in time stay apart.
    """
    forms = [None if answer is None else form(answer) for answer in answers]
    distinct = list(dict.fromkeys(known for known in forms if known is not None))
    leaders = dict(zip(distinct, _leaders(distinct), strict=True))
    groups: dict[object, list[int]] = {}
    for index, known in enumerate(forms):
        groups.setdefault(index if known is None else leaders[known], []).append(index)
    return list(groups.values())


def _leaders(distinct: Sequence[Form]) -> list[Form]:
    """For each form the first one that it equals, itself where there is none."""
    firsts = _by_number(distinct)
    asked = [at for at, known in enumerate(distinct) if firsts[at] == at and len(known.text) <= MAX_ALGEBRA_CHARACTERS]
    if any(not distinct[at].settled for at in asked) and len(asked) > 1:
        judged = JUDGE.group([distinct[at].text for at in asked], [distinct[at].settled for at in asked])
        for at, first in zip(asked, judged, strict=True):
            firsts[at] = asked[first]
    return [distinct[firsts[first]] for first in firsts]


def _by_number(distinct: Sequence[Form]) -> list[int]:
    """Equality that needs no algebra: one number, and no two different units."""
    firsts = list(range(len(distinct)))
    leaders: dict[object, list[int]] = {}
    for at, known in enumerate(distinct):
        if known.number is None:
            continue
        others = leaders.setdefault(known.number, [])
        fitting = [other for other in others if not (known.unit and distinct[other].unit)]
        if fitting:
            firsts[at] = fitting[0]
        else:
            others.append(at)
    return firsts


def _last(found: Iterator[str]) -> str | None:
    last = None
    for one in found:
        last = one or last
    return last


def _boxes(text: str) -> Iterator[str]:
    """What closed boxes hold, in the order of their opening; of nested ones the inner comes last."""
    opened: list[int | None] = []
    closed: list[tuple[int, str]] = []
    for token in _BRACES.finditer(text):
        if token["box"]:
            opened.append(token.end())
        elif token["open"]:
            opened.append(None)
        elif token["bare"]:
            closed.append((token.start(), token[0].removeprefix(r"\boxed").strip(" \t\n$.,")))
        elif token["close"] and opened:
            start = opened.pop()
            if start is not None:
                closed.append((start, text[start : token.start()].strip()))
    return (content for _, content in sorted(closed))


def _stated(rest: str) -> str:
    """The answer in what follows "the answer is": leading number, maths, a few words, or the last number in it."""
    sentence = _SENTENCE.match(rest.replace("**", ""))
    said = (sentence[1] if sentence else rest).strip().rstrip(".")
    leading, maths = _LEADING_NUMBER.match(said), _MATHS.search(said)
    if leading:
        return leading[1]
    if maths:
        return (maths[1] or maths[2]).strip()
    numbers = [match[0] for match in _NUMBER.finditer(said)]
    return numbers[-1] if numbers and len(said.split()) > 3 else said
