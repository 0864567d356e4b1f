"""A top-level name of a class or a type occurs once in the project, so that a name leads to one place."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from stepscore.rewards import shaping
from stepscore.verify import answers
from stepscore_service.schemas import rerank, score

ROOT = Path(__file__).parents[1]
STATED_TWICE = {"ShapeName", "ReaderName"}
"""The light part loads nothing of the library, so what both need is written twice, and compared below."""


def names(file: Path) -> Iterator[str]:
    """Classes and aliases of types; constants are in capitals."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name[0].isupper() and not name.isupper():
                yield name


def test_a_class_name_occurs_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for package in ("models/stepscore", "service/stepscore_service"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for name in names(file):
                places[name].append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1 and name not in STATED_TWICE} == {}


def test_names_that_are_stated_twice_mean_the_same() -> None:
    assert score.ShapeName == shaping.ShapeName
    assert rerank.ReaderName == answers.ReaderName
