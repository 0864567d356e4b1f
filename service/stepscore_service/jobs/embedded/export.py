"""Turn a finished training run into the files that ship with the library.

    python -m stepscore_service.jobs.embedded.export --run FOLDER --data FOLDER --out models/stepscore/embedded

The adapter is stored in bfloat16, and the reading's constants are fitted on the checkpoint as it will be prepared.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import load_file, save_file

from stepscore.embedded.prepare import write
from stepscore.scorer import open_scorer
from stepscore_service.jobs.embedded.measure import calibrate

UNFITTED = {"slope": 1.0, "offset": 0.0, "wordy_slope": 1.0, "wordy_offset": 0.0}
_PEFT_PREFIX = "base_model.model."


def adapter_of(run: Path) -> tuple[dict[str, torch.Tensor], float]:
    """The run's adapter under the base's own tensor names, in bfloat16, and its scale alpha / rank."""
    config = json.loads((run / "adapter_config.json").read_text(encoding="utf-8"))
    state = load_file(run / "adapter_model.safetensors")
    adapter = {key.removeprefix(_PEFT_PREFIX): tensor.to(torch.bfloat16) for key, tensor in state.items()}
    return adapter, config["lora_alpha"] / config["r"]


def fit(adapter: dict[str, torch.Tensor], scale: float, data: Path, problems: int) -> dict[str, Any]:
    """The recipe with fitted constants, found on a checkpoint that is prepared for it and thrown away."""
    recipe: dict[str, Any] = {"scale": scale, "config": {"number_logprob": UNFITTED}}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), adapter, recipe)
        scorer = open_scorer(folder, family="number_logprob")
        recipe["config"]["number_logprob"] = calibrate(scorer, data / "gsm8k" / "train.jsonl", problems)
    return recipe


def main(
    run: Annotated[Path, typer.Option(help="folder of the training run", exists=True)],
    data: Annotated[Path, typer.Option(help="folder with gsm8k/train.jsonl", exists=True)],
    out: Annotated[Path, typer.Option(help="folder for adapter.safetensors and recipe.json")],
    problems: Annotated[int, typer.Option(help="held-out problems to fit the constants on")] = 100,
) -> None:
    """Write adapter.safetensors and recipe.json."""
    adapter, scale = adapter_of(run)
    recipe = fit(adapter, scale, data, problems)
    save_file(adapter, out / "adapter.safetensors")
    (out / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{out}: {(out / 'adapter.safetensors').stat().st_size / 1e6:.1f} MB, {json.dumps(recipe)}")


if __name__ == "__main__":
    typer.run(main)
