"""`stepscore families`: what can be read, and why a checkpoint is read as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from stepscore.errors import StepscoreError
from stepscore_service.jobs.runs import console

if TYPE_CHECKING:
    from stepscore.family.registry import Resolution


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
        if console.speaks_json():
            facts = {"name": family.name, "title": family.title, "rewards": range_.kind, "score": family.aggregate}
            console.write_json({**facts, "checkpoints": family.checkpoints})
            continue
        rewards = f"rewards: {range_.kind}, {range_.low:g} to {range_.high:g}; score: {family.aggregate}"
        console.OUT.print(Text(family.name, style="bold").append(f"  {family.title}", style="not bold"))
        console.OUT.print(Text(rewards, style="dim"), soft_wrap=True)
        for checkpoint in family.checkpoints:
            console.OUT.print(f"  {checkpoint}", soft_wrap=True)
        console.OUT.print()


def _explain(model: str) -> None:
    from stepscore.checkpoint import checkpoint_facts
    from stepscore.family.registry import explain

    if not model.strip():
        console.fail("--explain needs a folder or a Hub id.")
    try:
        resolution = explain(checkpoint_facts(model))
    except StepscoreError as error:
        console.fail_with(error)
    family = resolution.family
    if console.speaks_json():
        console.write_json({"family": family.name if family else None, "reasons": list(resolution.reasons)})
    else:
        _print_reasons(resolution)
    if family is None:
        console.fail("No family reads this checkpoint. Name one of `stepscore families` with --family.")


def _print_reasons(resolution: Resolution) -> None:
    for reason in resolution.reasons:
        console.OUT.print(reason)
    if resolution.family is not None:
        console.OUT.print(
            Text(resolution.family.name, style="bold").append(f": {resolution.family.title}", style="not bold")
        )
