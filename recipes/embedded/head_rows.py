"""Solutions that the class head is trained on.

    python -m recipes.embedded.head_rows --data DATA --sampled sampled.jsonl --out head.jsonl

In each of three passes, of each problem to which the policy found a right and a wrong solution, as many of both (two
at most); for every second one also the worked solution and a mistake made in it. A pass takes other solutions than
the one before it, as far as there are others, and the worked solutions of the other problems. Solutions of
`steps/verify_then_generate*.jsonl` to these problems are treated alike. What the reading was trained on is among
them; problems near what is kept out are not.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import chain, groupby
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
PASSES = 3


def head_rows(data: Path, sampled: Path) -> list[Group]:
    """All groups, in order. data: folder with gsm8k/ and steps/. sampled: what `recipes.embedded.sample` wrote."""
    samples, trained = sampled_groups(data, sampled), mixture(data)
    groups = list(chain.from_iterable(one_pass(samples, trained, turn) for turn in range(PASSES)))
    problems = dict.fromkeys(group[0]["prompt"] for group in groups)
    left = set(apart(list(problems), list(kept_out(data))))
    return [group for group in groups if group[0]["prompt"] in left]


def one_pass(samples: Sequence[Group], trained: Sequence[Group], turn: int) -> list[Group]:
    """The groups of one pass, shuffled."""
    both = [found for group in samples if (found := right_and_wrong(group, turn))]
    groups = [group + made if (number + turn) % 2 else group for number, (group, made) in enumerate(both)]
    groups += trained
    random.Random(ORDER + turn).shuffle(groups)
    return groups


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


def right_and_wrong(group: Group, turn: int) -> tuple[Group, Group] | None:
    """As many right solutions as wrong ones, and the worked one with one mistake; None if there are not both."""
    written, made = [row for row in group if "id" not in row], [row for row in group if "id" in row]
    right, wrong = ([row for row in written if row["outcome"] is outcome] for outcome in (True, False))
    number = min(len(right), len(wrong), OF_EACH)
    chosen = turned(right, turn * number)[:number] + turned(wrong, turn * number)[:number]
    return (chosen, made[:1] + turned(made[1:], turn)[:1]) if number else None


def turned(rows: Group, by: int) -> Group:
    """The rows from this one on, then those before it."""
    start = by % len(rows) if rows else 0
    return rows[start:] + rows[:start]


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
