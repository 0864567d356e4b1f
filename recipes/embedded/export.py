"""Turn finished runs into a checkpoint folder, and into the files that ship with the library.

    python -m recipes.embedded.export policy --policy RUN --out FOLDER
    python -m recipes.embedded.export ship --policy RUN --trained RUN --trained RUN --out FOLDER

`policy` writes what `jobs.embedded.train` made as a plain checkpoint, which `stepscore train` takes as its base and
`stepscore label` as its policy. `ship` puts the adapters of all runs, each of which began where the one before it
ended, into one in bfloat16, beside the constants of the reading as the last one trained them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from safetensors.torch import save_file

from recipes.embedded.adapters import SHIPPED, policy_adapter, stacked, trained_adapter
from stepscore.embedded.prepare import write
from stepscore.families.number_logprob import CONFIG_KEY

app = typer.Typer(help=__doc__, no_args_is_help=True)

Policy = Annotated[Path, typer.Option(help="run of jobs.embedded.train, or a folder that ships", exists=True)]


@app.command()
def policy(policy: Policy, out: Annotated[Path, typer.Option(help="folder for the checkpoint")]) -> None:
    """Write the policy as a checkpoint."""
    adapter = stacked([policy_adapter(policy)])
    out.mkdir(parents=True, exist_ok=True)
    write(out, adapter.state, {"scale": adapter.scale, "config": {}})
    typer.echo(f"{out}: a causal language model")


@app.command()
def ship(
    policy: Policy,
    trained: Annotated[list[Path], typer.Option(help="runs of stepscore train, in order", exists=True)],
    out: Annotated[Path, typer.Option(help="folder for adapter.safetensors and recipe.json", exists=True)],
) -> None:
    """Write adapter.safetensors and recipe.json."""
    adapter = stacked([policy_adapter(policy), *map(trained_adapter, trained)])
    recipe = {"scale": adapter.scale, "config": {CONFIG_KEY: constants_of(trained[-1])}}
    save_file(adapter.state, out / SHIPPED)
    (out / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{out}: {(out / SHIPPED).stat().st_size / 1e6:.1f} MB, {json.dumps(recipe)}")


def constants_of(trained: Path) -> dict[str, Any]:
    """The reading's four, as the run ended."""
    config: dict[str, Any] = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = config[CONFIG_KEY]
    return found


if __name__ == "__main__":
    app()
