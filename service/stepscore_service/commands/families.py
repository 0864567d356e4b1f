"""`stepscore families`: what can be read, and why a checkpoint is read as it is."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Column, Table

from stepscore.errors import StepscoreError
from stepscore_service.jobs.runs import console


def families(
    explain: Annotated[
        str | None, typer.Option(metavar="MODEL", help="say which family reads this folder or Hub id, and why")
    ] = None,
) -> None:
    """List the families of checkpoints that Stepscore reads."""
    if explain is None:
        _list()
    else:
        _explain(explain)


def _list() -> None:
    from stepscore.family.registry import families as every

    table = Table("family", "reads", "rewards", "score", Column("checkpoints", overflow="fold"), show_lines=True)
    for family in every():
        rewards = f"{family.reward_range.kind} {family.reward_range.low:g}…{family.reward_range.high:g}"
        table.add_row(family.name, family.title, rewards, family.aggregate, "\n".join(family.checkpoints))
    console.OUT.print(table)


def _explain(model: str) -> None:
    from stepscore.family.registry import explain
    from stepscore.open import checkpoint_facts

    try:
        resolution = explain(checkpoint_facts(model))
    except StepscoreError as error:
        console.fail_with(error)
    for reason in resolution.reasons:
        console.OUT.print(reason, markup=False)
    if resolution.family is None:
        console.fail("No family reads this checkpoint. Name one of `stepscore families` with --family.")
    console.OUT.print(f"[bold]{resolution.family.name}[/]: {resolution.family.title}")
