"""The recipe's options, before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from recipes.embedded.recipe import main


@pytest.mark.parametrize("processes", [3, 5, 6, 7])
def test_processes_that_cannot_share_a_step_are_refused(tmp_path: Path, processes: int) -> None:
    with pytest.raises(typer.BadParameter, match="choose 1, 2, 4 or 8"):
        main(tmp_path, tmp_path / "out", processes=processes)
    assert not (tmp_path / "out").exists()
