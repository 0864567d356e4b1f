"""`stepscore families`: what can be read, and why a checkpoint is read as it is."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

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
    """A paragraph for each: names of checkpoints are never broken, so that they can be copied."""
    from stepscore.family.registry import families as every

    for family in every():
        range_ = family.reward_range
        rewards = f"rewards: {range_.kind}, {range_.low:g} to {range_.high:g}; score: {family.aggregate}"
        console.OUT.print(Text(family.name, style="bold").append(f"  {family.title}", style="not bold"))
        console.OUT.print(Text(rewards, style="dim"), soft_wrap=True)
        for checkpoint in family.checkpoints:
            console.OUT.print(f"  {checkpoint}", soft_wrap=True)
        console.OUT.print()


def _explain(model: str) -> None:
    from stepscore.family.registry import explain
    from stepscore.open import checkpoint_facts

    if not model.strip():
        console.fail("--explain needs a folder or a Hub id.")
    try:
        resolution = explain(checkpoint_facts(model))
    except StepscoreError as error:
        console.fail_with(error)
    for reason in resolution.reasons:
        console.OUT.print(reason)
    if resolution.family is None:
        console.fail("No family reads this checkpoint. Name one of `stepscore families` with --family.")
    console.OUT.print(
        Text(resolution.family.name, style="bold").append(f": {resolution.family.title}", style="not bold")
    )
