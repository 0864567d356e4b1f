"""Equality of answers: each answer gets a canonical form, and equal forms are equal answers.

So equality is transitive and does not depend on the order of the answers. Only what people leave out needs more than
one answer to decide: a number without a unit joins the one group with that number and a unit; if there are several
such groups, or the group fits several numbers, it stays by itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from stepscore.verify.answer_pool import LATE, POOL
from stepscore.verify.normal import Answer, Row, Value, read_structure

MAX_ALGEBRA_CHARACTERS = 256
"""Longer formulas are compared as text only."""

TOTAL_SECONDS = 10.0
"""For the calculations of one grouping; formulas that are not reached by then are undecided."""


@dataclass(frozen=True, slots=True)
class Canonical:
    """key: equal for equal answers. bare: the key that it has without its unit, which was perhaps left out elsewhere.

    value: the number or formula behind it, if it is a single one. readable: whether it is more than a text.
    late: whether a calculation was stopped, so that it is compared as text only.
    """

    key: str
    bare: str
    value: Value | None = None
    readable: bool = True
    late: bool = False

    @property
    def has_unit(self) -> bool:
        return self.key != self.bare


@dataclass(frozen=True, slots=True)
class Grouping:
    """groups: indices of equal answers, in order of first appearance. undecided: pairs of first members of groups

    that may be equal, because a calculation did not come to an end.
    """

    groups: list[list[int]]
    undecided: list[tuple[int, int]]


def same_answer(one: str, other: str) -> bool:
    """Whether two answers are equal. Safe from any thread."""
    return len(group([one, other]).groups) == 1


def group_answers(answers: Sequence[str | None]) -> list[list[int]]:
    """Indices of equal answers, groups and members in order of first appearance; None is never equal to anything."""
    return group(answers).groups


def group(answers: Sequence[str | None]) -> Grouping:
    """As group_answers, with the pairs that could not be decided in time."""
    until = time.monotonic() + TOTAL_SECONDS
    forms = {answer: canonical(answer, until) for answer in dict.fromkeys(answers) if answer is not None}
    joined = _joined(list(forms.values()))
    groups: dict[object, list[int]] = {}
    for index, answer in enumerate(answers):
        key = index if answer is None else joined.get(forms[answer].key, forms[answer].key)
        groups.setdefault(key, []).append(index)
    found = list(groups.values())
    firsts = [(members[0], forms[answer]) for members in found if (answer := answers[members[0]]) is not None]
    undecided = [(at, to) for (at, one), (to, other) in combinations(firsts, 2) if one.late or other.late]
    return Grouping(found, undecided)


def _joined(forms: Sequence[Canonical]) -> dict[str, str]:
    """For each key of a bare number the key of the one quantity that it belongs to."""
    bares = {form.key for form in forms if not form.has_unit}
    numbers: dict[str, set[str]] = {}
    quantities: dict[str, set[str]] = {}
    for form in forms:
        if form.has_unit and form.bare in bares:
            numbers.setdefault(form.bare, set()).add(form.key)
            quantities.setdefault(form.key, set()).add(form.bare)
    return {
        bare: next(iter(keys))
        for bare, keys in numbers.items()
        if len(keys) == 1 and len(quantities[next(iter(keys))]) == 1
    }


def canonical(answer: str, until: float = math.inf) -> Canonical:
    """The canonical form of an answer; never fails. until: no calculation begins after it (time.monotonic())."""
    return _canonical(read_structure(answer), until)


def _canonical(one: Answer, until: float) -> Canonical:
    if isinstance(one, Value):
        return _of_value(one, until)
    items = [_canonical(item, until) for item in one.items]
    late, readable = any(item.late for item in items), all(item.readable for item in items)
    return Canonical(key := _row_key(one, items), key, None, readable, late)


def _row_key(row: Row, items: Sequence[Canonical]) -> str:
    keys = [item.bare for item in items]
    if row.opening == "∪":
        return "∪".join(sorted(keys))
    if row.opening == "{":
        distinct = sorted(set(keys))
        if all(key[0] in "([" and key[-1] in ")]" and "oo" in key for key in distinct):
            return "∪".join(distinct)
        return distinct[0] if len(distinct) == 1 else "{" + ",".join(distinct) + "}"
    return f"{row.opening}{','.join(keys)}{row.closing}"


def _of_value(one: Value, until: float) -> Canonical:
    value, late, readable = _value_key(one, until)
    if one.unit is None:
        return Canonical(value, value, one, readable, late)
    if one.number is not None and one.unit.kind:
        return Canonical(f"{one.number * one.unit.worth} {one.unit.kind}", value, one, readable, late)
    return Canonical(f"{value} {one.unit.name}", value, one, readable, late)


def _value_key(one: Value, until: float) -> tuple[str, bool, bool]:
    """The key of a value without its unit, whether it came too late, and whether it is more than a text."""
    if one.settled:
        return one.text, False, True
    text = f"text {''.join(one.text.split())}"
    if len(one.text) > MAX_ALGEBRA_CHARACTERS:
        return text, False, False
    key = POOL.key(one.text) if time.monotonic() < until else LATE
    if key is LATE or key is None:
        return text, key is LATE, False
    return str(key), False, True
