"""Equality of answers: each answer gets a canonical form, and equal forms are equal answers.

So equality is transitive and does not depend on the order of the answers. Only what people leave out needs more than
one answer to decide. A number without a unit joins the one group with that number and a unit; if there are several
such groups, or the group fits several numbers, it stays alone. `50%` is `0.5`; a `50` joins it as a percentage
without its sign, unless `0.5` is there too. Names (`x = 5`) count if there are several for one value.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import combinations

from stepscore.verify.answer_pool import LATE, POOL
from stepscore.verify.formula import as_algebra
from stepscore.verify.normal import Answer, Row, read_structure
from stepscore.verify.scalar import Value

_NAME = re.compile(r"\\?(?:[a-zA-Z]|alpha|beta|gamma|theta|lambda|mu|sigma|omega|phi)(?:_(?:\{\w+\}|\w))?'*")
MAX_ALGEBRA_CHARACTERS = 256
"""Longer formulas are compared as text only."""

TOTAL_SECONDS = 10.0
"""For the calculations of one grouping; formulas that are not reached by then are undecided."""


@dataclass(frozen=True, slots=True)
class Canonical:
    """key: equal for equal answers. bare: the key that it has without its unit, which was perhaps left out elsewhere.

    label: the variable whose value is given, "" if none is. value: the number or formula after it, if it is a single
    one. readable: whether it is more than a text. late: whether a calculation was stopped, so that it is compared as
    text only.
    """

    key: str
    bare: str
    value: Value | None = None
    readable: bool = True
    late: bool = False
    label: str = ""

    @property
    def is_percentage(self) -> bool:
        return self.has_unit and self.value is not None and self.value.unit is not None and is_number(self.key)

    @property
    def has_unit(self) -> bool:
        return self.key != self.bare

    def with_name(self) -> Canonical:
        """With the name as part of its keys."""
        return replace(self, key=f"{self.label} = {self.key}", bare=f"{self.label} = {self.bare}", label="")


@dataclass(frozen=True, slots=True)
class Grouping:
    """groups: indices of equal answers, in order of first appearance.

    undecided: pairs of first members of groups that may be equal, because a calculation did not come to an end.
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
    limit = TimeLimit(TOTAL_SECONDS)
    structures = _structures([answer for answer in dict.fromkeys(answers) if answer is not None])
    # One calculation for all spellings of a structure, so that a late one cannot part them.
    computed = {structure: _canonical(structure, limit) for structure in dict.fromkeys(structures.values())}
    forms = {answer: computed[structure] for answer, structure in structures.items()}
    named = _with_names_that_count(forms)
    joined = _join_units(list(named.values()))
    groups: dict[object, list[int]] = {}
    for index, answer in enumerate(answers):
        key = index if answer is None else joined.get(named[answer].key, named[answer].key)
        groups.setdefault(key, []).append(index)
    found = list(groups.values())
    firsts = [(members[0], forms[answer]) for members in found if (answer := answers[members[0]]) is not None]
    undecided = [(at, to) for (at, one), (to, other) in combinations(firsts, 2) if one.late or other.late]
    return Grouping(found, undecided)


def _structures(answers: Sequence[str]) -> dict[str, Answer]:
    """The structure of each answer. What a name of two meanings stands for depends on the other answers."""
    found = {answer: read_structure(answer) for answer in answers}
    values = [value for one in found.values() for value in _values(one)]
    kinds = {value.unit.kind for value in values if value.unit and not value.also}
    return {answer: _in_sight_of(one, kinds) for answer, one in found.items()}


def _values(one: Answer) -> Iterator[Value]:
    if isinstance(one, Value):
        yield one
    else:
        for item in one.items:
            yield from _values(item)


def _in_sight_of(one: Answer, kinds: Set[str]) -> Answer:
    """With `5 pounds` as money if there are amounts of sterling and none of weight; `1:30:00` beside durations."""
    if isinstance(one, Row):
        return replace(one, items=tuple(_in_sight_of(item, kinds) for item in one.items))
    if one.also is None:
        return one
    own, other = one.unit.kind if one.unit else "", one.also.unit.kind if one.also.unit else ""
    return replace(one.also, label=one.label) if other in kinds and own not in kinds else replace(one, also=None)


def _with_names_that_count(forms: Mapping[str, Canonical]) -> dict[str, Canonical]:
    """The forms, those with a name under that name if their value, with or without its unit, has several names."""
    links: dict[str, set[str]] = {}
    for form in forms.values():
        links.setdefault(form.key, set()).add(form.bare)
        links.setdefault(form.bare, set()).add(form.key)
    names: dict[str, set[str]] = {}
    for key in links:
        if key not in names:
            same = _reachable(key, links)
            labels = {form.label for form in forms.values() if form.label and form.key in same}
            names.update(dict.fromkeys(same, labels))
    return {
        answer: form.with_name() if form.label and len(names[form.key]) > 1 else form for answer, form in forms.items()
    }


def _reachable(start: str, links: Mapping[str, set[str]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = links[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _join_units(forms: Sequence[Canonical]) -> dict[str, str]:
    """For each key of a bare number the key of the one quantity that it belongs to."""
    bares = {form.key for form in forms if not form.has_unit}
    numbers: dict[str, set[str]] = {}
    quantities: dict[str, set[str]] = {}
    for form in forms:
        if form.has_unit and form.bare in bares:
            numbers.setdefault(form.bare, set()).add(form.key)
            quantities.setdefault(form.key, set()).add(form.bare)
        if form.is_percentage:
            numbers.setdefault(form.key, set()).add(form.key)
    return {
        bare: next(iter(keys))
        for bare, keys in numbers.items()
        if len(keys) == 1 and not keys & bares and len(quantities.get(next(iter(keys)), ())) == 1
    }


class TimeLimit:
    """For several calculations. The first, which may have to wait for a process to start, does not count."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    @property
    def has_passed(self) -> bool:
        return self._until is not None and time.monotonic() >= self._until

    def start(self) -> None:
        if self._until is None:
            self._until = time.monotonic() + self._seconds


def canonical(answer: str, limit: TimeLimit | None = None) -> Canonical:
    """The canonical form of an answer; never fails. limit: no calculation begins after it."""
    return _canonical(read_structure(answer), limit or TimeLimit(math.inf))


def canonical_pair(one: str, other: str) -> tuple[Canonical, Canonical]:
    """The canonical forms of two answers to one question."""
    structures = _structures([one, other])
    limit = TimeLimit(math.inf)
    return _canonical(structures[one], limit), _canonical(structures[other], limit)


def _canonical(one: Answer, limit: TimeLimit) -> Canonical:
    if isinstance(one, Value):
        return _of_value(one, limit)
    items = [_canonical(item, limit) for item in _with_shared_unit(one.items)]
    late, readable = any(item.late for item in items), all(item.readable for item in items)
    key = _row_key(one, [item.key for item in items])
    differ = one.opening == "{" and len({item.bare for item in items}) == 1 < len({item.key for item in items})
    bare = key if differ else _row_key(one, [item.bare for item in items])
    return Canonical(key, bare, None, readable, late)


def _with_shared_unit(items: Sequence[Answer]) -> list[Answer]:
    """Of `4, 6 and 8 hours` all with the unit of the last."""
    *others, last = items
    if not isinstance(last, Value) or not last.unit or any(not isinstance(one, Value) or one.unit for one in others):
        return list(items)
    return [*(replace(one, unit=last.unit) for one in others if isinstance(one, Value)), last]


def _row_key(row: Row, keys: Sequence[str]) -> str:
    if row.opening == "∪":
        return "∪".join(sorted(keys))
    if row.opening == "{":
        if len(row.items) > 1 and all(isinstance(item, Row) and item.opening == "{" for item in row.items):
            keys = [key if key.startswith("{") else f"{{{key}}}" for key in keys]
        distinct = sorted(set(keys))
        if all(key[0] in "([" and key[-1] in ")]" and "oo" in key for key in distinct):
            return "∪".join(distinct)
        return distinct[0] if len(distinct) == 1 else "{" + ",".join(distinct) + "}"
    return f"{row.opening}{','.join(keys)}{row.closing}"


def _of_value(one: Value, limit: TimeLimit) -> Canonical:
    value, late, readable = _value_key(one, limit)
    label = claimed_name(one.label)
    if one.unit is None:
        return Canonical(value, value, one, readable, late, label)
    key = f"{value} {one.unit.name}"
    if one.number is not None and one.unit.kind:
        amount = one.number * one.unit.worth
        key = str(amount) if one.unit.kind == "percent" else f"{amount} {one.unit.kind}"
    return Canonical(key, value, one, readable, late, label)


def claimed_name(label: str) -> str:
    """The variable that a label names: a letter, perhaps with an index. `f(x)` and `y` are one; words name nothing."""
    name = re.sub(r"\([^()]*\)$", "", label)
    if label in ("f(x)", "y"):
        return "y"
    return "" if name != label and name.isupper() else name if _NAME.fullmatch(name) else ""


def is_number(key: str) -> bool:
    """Whether a key is that of a real number."""
    return bool(key) and key.lstrip("-")[:1].isdigit() and not set(key) & set(":?;, =i")


def _value_key(one: Value, limit: TimeLimit) -> tuple[str, bool, bool]:
    """The key of a value without its unit, whether it came too late, and whether it is more than a text."""
    if one.settled:
        return one.text, False, True
    text = f"text {''.join(one.text.split())}"
    formula = as_algebra(one.text) if len(one.text) <= MAX_ALGEBRA_CHARACTERS else None
    if formula is None:
        return text, False, False
    key = LATE if limit.has_passed else POOL.key(formula)
    limit.start()
    if key is LATE or key is None:
        return text, key is LATE, False
    return str(key), False, True
