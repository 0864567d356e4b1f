"""The error tree that errors.py draws is the one that it defines."""

from __future__ import annotations

import re

from stepscore import errors


def drawn_parents() -> dict[str, str]:
    """Each error in the drawing and its parent."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for indent, name in re.findall(r"^( {4,})([A-Z]\w+)(?: {2,}|$)", errors.__doc__ or "", re.MULTILINE):
        above = [each for each in above if each[0] < len(indent)]
        parents[name] = above[-1][1] if above else "Exception"
        above.append((len(indent), name))
    return parents


def test_the_tree_that_is_drawn_is_the_tree_that_is_defined():
    defined = {
        name: each.__base__.__name__
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, errors.StepscoreError)
    }
    assert drawn_parents() == defined


def test_errors_keep_their_place():
    bad = errors.NoSteps("none")
    assert errors.map_ok([1, bad, 2], lambda ok: [each * 10 for each in ok]) == [10, bad, 20]
    assert errors.map_ok([bad], lambda ok: [each for each in ok if each]) == [bad]
