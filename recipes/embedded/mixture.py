"""Step-labelled solutions that the reading is trained on.

    python -m recipes.embedded.mixture --data DATA --out mixture.jsonl

Of `steps/verify_then_generate*.jsonl` a random share of the problems, each with a wrong solution whose first error a
teacher marked and with a right one; of GSM8K the training problems 3,000 to 3,139, each as it is and with up to four
mistakes, unless the development split has it. The solutions of a problem follow each other, so that
`stepscore train --share-prefixes` computes its text once. `--development` writes that split: other problems of the
first source, on which constants are fitted.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Annotated

import typer

from recipes.embedded.gsm8k import Worked
from recipes.embedded.rows import Part, Row, problems_of, step_rows

REAL = ("verify_then_generate", "verify_then_generate_correct")
TRAINED, DEVELOPMENT = slice(0, 260), slice(260, 360)
CORRUPTED = slice(3000, 3140)
SEED = 1
COLUMNS = ("prompt", "completions", "labels", "outcome")

Group = list[Row]
"""The rows of one problem."""


def labelled_rows(file: Path) -> Iterator[Row]:
    """Rows of `steps/` in TRL's form; a solution with an empty step is left out."""
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if all(step.strip() for step in row["steps"]):
            labels = [None if label is None else bool(label) for label in row["labels"]]
            found = (row["problem"], row["steps"], labels, row["first_error"] < 0)
            yield dict(zip(COLUMNS, found, strict=True))


def real_groups(steps: Path, rng: random.Random) -> list[Group]:
    """Problems with at least two solutions, shuffled."""
    by_problem: dict[str, Group] = {}
    for row in chain.from_iterable(labelled_rows(steps / f"{name}.jsonl") for name in REAL):
        by_problem.setdefault(row["prompt"], []).append(row)
    groups = [group for group in by_problem.values() if len(group) > 1]
    rng.shuffle(groups)
    return groups


def corrupted_groups(worked: Sequence[Worked], mistakes: int, first: int = 0) -> list[Group]:
    """Each problem's worked solution and up to so many mistakes made in it. first: the number of the first problem."""
    rows = step_rows(worked, mistakes, first)
    return [list(group) for _, group in groupby(rows, key=lambda row: row["id"])]


def mixture(data: Path) -> list[Group]:
    """What the reading is trained on, in order."""
    rng = random.Random(SEED)
    kept_out = {group[0]["prompt"] for group in development(data)}
    chosen = problems_of(data / "gsm8k" / "train.jsonl", Part.TRAIN)[CORRUPTED]
    worked = [each for each in chosen if each.problem not in kept_out]
    groups = real_groups(data / "steps", rng)[TRAINED] + corrupted_groups(worked, 4, CORRUPTED.start)
    rng.shuffle(groups)
    return groups


def development(data: Path) -> list[Group]:
    """Problems of the real source that are not trained on."""
    return real_groups(data / "steps", random.Random(SEED))[DEVELOPMENT]


def write_rows(file: Path, groups: Iterable[Group]) -> int:
    rows = [{key: row[key] for key in COLUMNS if key in row} for row in chain.from_iterable(groups)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return len(rows)


def main(
    data: Annotated[Path, typer.Option(help="folder with gsm8k/ and steps/", exists=True)],
    out: Annotated[Path, typer.Option(help="JSONL file")],
    only_development: Annotated[bool, typer.Option("--development", help="write the development split")] = False,
) -> None:
    """Write the labelled solutions."""
    groups = development(data) if only_development else mixture(data)
    typer.echo(f"{out}: {write_rows(out, groups)} solutions of {len(groups)} problems")


if __name__ == "__main__":
    typer.run(main)
