"""Solutions that the class head is trained on.

    python -m recipes.embedded.head_rows --data DATA --sampled sampled.jsonl --out head.jsonl

Of each problem to which the policy found a right and a wrong solution, as many of both (two at most); for every second
one also the worked solution and a mistake made in it. Solutions of `steps/verify_then_generate*.jsonl` to these
problems are treated alike. What the reading was trained on is among them; problems near what is kept out are not.
"""

from __future__ import annotations

import json
import random
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from recipes.embedded.held_out import apart, kept_out
from recipes.embedded.mixture import SEED, Group, corrupted_groups, mixture, real_groups, write_rows
from recipes.embedded.rows import Part, problems_of

ORDER = 3
"""The seed of the order."""
OF_EACH = 2
"""Right solutions of a problem, and as many wrong ones."""
MADE = 2
"""Rows of a worked solution: itself, and one mistake."""


def head_rows(data: Path, sampled: Path) -> list[Group]:
    """All groups, in order. data: folder with gsm8k/ and steps/. sampled: what `recipes.embedded.sample` wrote."""
    both = [found for group in sampled_groups(data, sampled) if (found := right_and_wrong(group))]
    groups = [group + made[:MADE] if number % 2 else group for number, (group, made) in enumerate(both)]
    groups += mixture(data)
    random.Random(ORDER).shuffle(groups)
    problems = dict.fromkeys(group[0]["prompt"] for group in groups)
    left = set(apart(list(problems), list(kept_out(data))))
    return [group for group in groups if group[0]["prompt"] in left]


def sampled_groups(data: Path, sampled: Path) -> list[Group]:
    """Of each sampled problem its samples, its worked solution, mistakes made in it; shuffled problems."""
    rng = random.Random(SEED)
    rows = map(json.loads, sampled.read_text(encoding="utf-8").splitlines())
    samples = {problem: list(group) for problem, group in groupby(rows, key=lambda row: row["prompt"])}
    worked = [each for each in problems_of(data / "gsm8k" / "train.jsonl", Part.TRAIN) if each.problem in samples]
    made = corrupted_groups(worked, mistakes=2)
    groups = [samples[each.problem] + group for each, group in zip(worked, made, strict=True)]
    groups += [group for group in real_groups(data / "steps", rng) if group[0]["prompt"] in samples]
    rng.shuffle(groups)
    return groups


def right_and_wrong(group: Group) -> tuple[Group, Group] | None:
    """As many right solutions as wrong ones, and what was made of the worked one; None if there are not both."""
    written = [row for row in group if "id" not in row]
    right, wrong = ([row for row in written if row["outcome"] is outcome] for outcome in (True, False))
    number = min(len(right), len(wrong), OF_EACH)
    return (right[:number] + wrong[:number], [row for row in group if "id" in row]) if number else None


def main(
    data: Annotated[Path, typer.Option(help="folder with gsm8k/ and steps/", exists=True)],
    sampled: Annotated[Path, typer.Option(help="what recipes.embedded.sample wrote", exists=True)],
    out: Annotated[Path, typer.Option(help="JSONL file")],
) -> None:
    """Write the labelled solutions."""
    groups = head_rows(data, sampled)
    typer.echo(f"{out}: {write_rows(out, groups)} solutions of {len(groups)} problems")


if __name__ == "__main__":
    typer.run(main)
