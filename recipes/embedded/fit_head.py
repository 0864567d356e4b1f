"""Move the class head's bias so that 0.5 is the threshold that finds first errors best on the development split.

    python -m recipes.embedded.fit_head --data DATA --shipped models/stepscore/embedded

Rewards keep their order. Run once after `recipes.embedded.export --head`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from safetensors.torch import load_file, save_file
from torch import Tensor

from recipes.embedded.fit import lowest_best
from recipes.embedded.measure import readings
from recipes.embedded.mixture import development
from stepscore.embedded.prepare import EMBEDDED_HEAD, HEAD, prepare
from stepscore.scoring.open import open_scorer
from stepscore.types import Solution

BIAS = "score.2.bias"
SOUND = 1
"""The class of a sound step in family qwen_math."""


def moved(state: Mapping[str, Tensor], place: float) -> dict[str, Tensor]:
    """The head's tensors with the reward `place` at 0.5. Raises ValueError if no bias moves it there."""
    if not 0.0 < place < 1.0:
        raise ValueError(
            f"the best threshold is {place}: the head's rewards do not part wrong solutions from right ones"
        )
    bias = state[BIAS].float().clone()
    bias[SOUND] -= float(np.log(place / (1 - place)))
    return dict(state) | {BIAS: bias.to(state[BIAS].dtype)}


def main(
    data: Annotated[Path, typer.Option(help="folder with steps/", exists=True)],
    shipped: Annotated[Path, typer.Option(help="folder with head.safetensors", exists=True)],
) -> None:
    """Fit the bias and write it to head.safetensors."""
    rows = [row for group in development(data) for row in group]
    solutions = [Solution(row["prompt"], tuple(row["completions"])) for row in rows]
    scorer = open_scorer(str(prepare(EMBEDDED_HEAD, shipped=shipped)))
    found = readings(scorer, solutions, "development split")
    firsts = [row["labels"].index(False) if False in row["labels"] else -1 for row in rows]
    place = lowest_best([(each.rewards, first) for each, first in zip(found, firsts, strict=True) if each is not None])
    file = shipped / HEAD.name
    save_file(moved(load_file(file), place), file)
    typer.echo(f"{file}: a reward of {place:.4f} is 0.5 now")


if __name__ == "__main__":
    typer.run(main)
