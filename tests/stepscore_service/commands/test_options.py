"""Flags that are generated from an options class: its defaults, limits and names, and nothing written twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
import typer
from typer.testing import CliRunner

from stepscore_service.commands.flags import with_options

seen: list[object] = []


@dataclass(frozen=True)
class PaintOptions:
    PANEL: ClassVar[str] = "Paint"

    colour: Annotated[str, typer.Option(help="of the wall")]
    coats: Annotated[int, typer.Option("--coats", "-c", min=1, help="layers of paint")] = 2
    tools: Annotated[tuple[str, ...], typer.Option(help="what to paint with")] = ("brush",)
    ladder: bool = True


@with_options
def paint(wall: str, *, options: PaintOptions, dry: Annotated[bool, typer.Option()] = False) -> None:
    """Paint a wall."""
    seen[:] = [wall, options, dry]


app = typer.Typer()
app.command()(paint)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--colour", "red"], PaintOptions("red")),
        (["--colour", "red", "-c", "3"], PaintOptions("red", 3)),
        (["--colour", "red", "--tools", "roller", "--tools", "tape"], PaintOptions("red", 2, ("roller", "tape"))),
    ],
)
def test_flags_make_the_options(given: list[str], expected: PaintOptions) -> None:
    ran = CliRunner().invoke(app, ["north", *given])
    assert ran.exit_code == 0, ran.output
    assert seen == ["north", expected, False]


@pytest.mark.parametrize(("given", "said"), [([], "--colour"), (["--colour", "red", "--coats", "0"], "'--coats'")])
def test_what_the_options_refuse_ends_the_command(given: list[str], said: str) -> None:
    ran = CliRunner().invoke(app, ["north", *given], env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert said in ran.output


def test_the_help_has_every_field_in_the_panel_of_its_class() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert all(word in shown for word in ("Paint", "--colour", "layers of paint", "--tools", "[default: brush]"))
    assert "ladder" not in shown
