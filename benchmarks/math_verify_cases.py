"""math-verify's own test cases through the verifier `math`, and where the two disagree.

`python -m benchmarks.math_verify_cases DIR`, where DIR is a checkout of Math-Verify (it holds tests/test_*.py).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stepscore.verify.math_verifier import MathVerifier
from stepscore.verify.verifier import Truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout
    sys.path.insert(0, str(checkout))
    verifier = MathVerifier()
    count = 0
    disagreements = []
    for where, gold, text, expected in cases(checkout):
        count += 1
        (verified,) = verifier.verify([text], Truth(gold))
        if (verified.outcome == "right") != expected:
            disagreements.append(f"{where}: truth {gold!r}, text {text[-100:]!r}: {verified.outcome}, not {expected}")
    print(*disagreements, f"{count - len(disagreements)} of {count} agree", sep="\n")


def cases(checkout: Path) -> Iterator[tuple[str, str, str, bool]]:
    """Of every parametrised test the truth, the text and whether math-verify expects them to agree."""
    for path in sorted((checkout / "tests").glob("test_*.py")):
        module = importlib.import_module(f"tests.{path.stem}")
        for name, test in vars(module).items():
            for mark in getattr(test, "pytestmark", []):
                yield from _of_mark(f"{path.stem}.{name}", mark)


def _of_mark(where: str, mark: Any) -> Iterator[tuple[str, str, str, bool]]:
    names = [name.strip() for name in mark.args[0].split(",")] if mark.name == "parametrize" else []
    if not {"gold", "pred", "expected"} <= set(names):
        return
    for values in mark.args[1]:
        row = dict(zip(names, values, strict=True))
        yield where, row["gold"], row["pred"], bool(row["expected"])


if __name__ == "__main__":
    main()
