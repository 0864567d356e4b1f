"""One row of the families' contract: how to make a tiny checkpoint and what the authors' procedure gives on it.

A file in `tests/family_cases/` defines `CASES`, a list of these; every contract test then runs on each.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Make = Callable[[Path], Path]
Reference = Callable[[Path, str, list[str]], list[float]]


@dataclass(frozen=True)
class FamilyCase:
    """id: name of the case. family: the family that must be resolved (unless `named`, then it is passed by name).

    make: writes the tiny checkpoint into a folder. reference: the authors' rewards for one problem and its steps.
    options: family options. plain_marker: text that must be refused in a step, for markers that are plain text.
    special_marker: a token that must be text when typed. prefix_stable: adding a step leaves earlier rewards alone
    (false only where the authors' own procedure looks past the step). base: makes the reference model's folder.
    """

    id: str
    family: str
    make: Make
    reference: Reference
    options: Mapping[str, str] = field(default_factory=dict)
    named: bool = False
    plain_marker: str | None = None
    special_marker: str | None = None
    prefix_stable: bool = True
    base: Make | None = None


def all_cases() -> list[FamilyCase]:
    found: list[FamilyCase] = []
    for file in sorted((Path(__file__).parent / "family_cases").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"family_cases_{file.stem}", file)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.CASES
    return found
