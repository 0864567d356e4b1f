"""What is kept out of training: test problems, the development split, and a source on which transfer is measured.

The source is PARC's solutions to problems of MetaMathQA and Orca-Math. MetaMathQA rewrites problems of GSM8K's training
set, so training problems near these are left out too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from recipes.embedded.contamination import Scan
from recipes.embedded.gsm8k import Worked, read_worked
from recipes.embedded.mixture import development
from recipes.embedded.rows import Part, problems_of
from stepscore.types import Solution

SOURCES = ("metamathqa", "orca-math")


def held_out_source(data: Path) -> list[tuple[Solution, int]]:
    """Each solution with its first wrong step, -1 if there is none. data: folder with steps/."""
    lines = (data / "steps" / "parc.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["problem_source"] in SOURCES]
    return [(Solution(row["problem"], tuple(row["steps"])), int(row["first_error"])) for row in rows]


def kept_out(data: Path) -> Iterator[str]:
    """Problems that nothing near may be trained on. data: folder with gsm8k/ and steps/."""
    yield from (worked.problem for worked in read_worked(data / "gsm8k" / "test.jsonl"))
    yield from (group[0]["prompt"] for group in development(data))
    yield from (solution.problem for solution, _ in held_out_source(data))


def apart(problems: Sequence[str], from_problems: Sequence[str]) -> list[str]:
    """The problems that are near none of the others."""
    scan = Scan(problems)
    close = {hit.trained for problem in from_problems for hit in scan.near(problem)}
    return [problem for problem in problems if problem not in close]


def training_problems(data: Path) -> list[Worked]:
    """GSM8K's training problems that are near nothing that is kept out."""
    worked = problems_of(data / "gsm8k" / "train.jsonl", Part.TRAIN)
    left = set(apart([each.problem for each in worked], list(kept_out(data))))
    return [each for each in worked if each.problem in left]
