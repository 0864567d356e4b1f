"""Turn finished runs of `stepscore train --lora` into the files that ship with the library.

    python -m recipes.embedded.export --trained RUN --trained RUN --out models/stepscore/embedded

Each run began where the one before it ended. Their adapters become one in bfloat16. The constants of the reading are
those that the last run trained, or stay what they are if it trained a language model alone; `recipes.embedded.fit`
fits them to a development split.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from safetensors.torch import save_file

from recipes.embedded.adapters import SHIPPED, stacked, trained_adapter
from stepscore.families.number_logprob import CONFIG_KEY


def ship(
    trained: Annotated[list[Path], typer.Option(help="runs of stepscore train, in order", exists=True)],
    out: Annotated[Path, typer.Option(help="folder for adapter.safetensors and recipe.json", exists=True)],
) -> None:
    """Write adapter.safetensors and recipe.json."""
    adapter = stacked([trained_adapter(run) for run in trained])
    file = out / "recipe.json"
    shipped = json.loads(file.read_text(encoding="utf-8"))["config"][CONFIG_KEY] if file.is_file() else {}
    recipe = {"scale": adapter.scale, "config": {CONFIG_KEY: constants_of(trained[-1]) or shipped}}
    save_file(adapter.state, out / SHIPPED)
    file.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{out}: {(out / SHIPPED).stat().st_size / 1e6:.1f} MB, {json.dumps(recipe)}")


def constants_of(trained: Path) -> dict[str, Any]:
    """The reading's four, as the run ended; none if it trained a language model alone."""
    config: dict[str, Any] = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = config.get(CONFIG_KEY, {})
    return found


if __name__ == "__main__":
    typer.run(ship)
