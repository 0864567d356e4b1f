"""Turn finished runs of `stepscore train --lora` into the files that ship with the library.

    python -m recipes.embedded.export --trained RUN --trained RUN --out models/stepscore/embedded
    python -m recipes.embedded.export --head RUN --out models/stepscore/embedded

Each run began where the one before it ended. The adapters of `--trained` become one in bfloat16. The constants of the
reading are those that the last run trained, or stay what they are if it trained a language model alone;
`recipes.embedded.fit` fits them to a development split. `--head` is a run of `--output qwen_math` that began from the
checkpoint of the others: its adapter, its class head and the embedding of its marker are written, in bfloat16. Then
`embedded-head` is prepared, and must be the run's checkpoint but for roundings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from safetensors.torch import load_file, save_file

from recipes.embedded.adapters import stacked, trained_adapter, trained_head
from stepscore.embedded.gguf_checkpoint import State
from stepscore.embedded.prepare import ADAPTER, EMBEDDED_HEAD, HEAD, HEAD_RECIPE, RECIPE, prepare
from stepscore.errors import InvalidInput
from stepscore.families.number_logprob import CONFIG_KEY
from stepscore.families.qwen_math import FAMILY, MARKER
from stepscore.scoring.protocol import AGGREGATE_KEY
from stepscore.text.tokenizer import StepTokenizer

ARCHITECTURES = "architectures"
WEIGHTS = "model.safetensors"
HEAD_AGGREGATE = "last"
"""The head learns every step from the first wrong one on as wrong, so the last reward is about the whole solution."""
ROUNDED = 0.1
"""More weights than these never differ by a rounding alone; of a head on another adapter nearly all do."""


def main(
    out: Annotated[Path, typer.Option(help="folder for the files that ship", exists=True)],
    trained: Annotated[list[Path] | None, typer.Option(help="runs of stepscore train, in order", exists=True)] = None,
    head: Annotated[Path | None, typer.Option(help="run of stepscore train --output qwen_math", exists=True)] = None,
) -> None:
    """Write adapter.safetensors and recipe.json of --trained, head.safetensors and head.json of --head."""
    if trained:
        ship(trained, out)
    if head:
        ship_head(head, out)
        share = check_head(head, prepare(EMBEDDED_HEAD, shipped=out))
        typer.echo(f"{EMBEDDED_HEAD} is {head}, but for {share:.2%} of the weights, which were rounded otherwise")


def ship(trained: Sequence[Path], out: Path) -> None:
    """Write the runs' adapters as one, and the constants of the last."""
    adapter = stacked([trained_adapter(run) for run in trained])
    file = out / RECIPE.name
    shipped = json.loads(file.read_text(encoding="utf-8"))["config"][CONFIG_KEY] if file.is_file() else {}
    constants = config_of(trained[-1]).get(CONFIG_KEY) or shipped
    _write(out / ADAPTER.name, adapter.state, file, {"scale": adapter.scale, "config": {CONFIG_KEY: constants}})


def ship_head(run: Path, out: Path) -> None:
    """Write a run's adapter, head and marker. Raises InvalidInput if it did not train what the family reads."""
    training = FAMILY.training
    assert training is not None
    architectures = config_of(run)[ARCHITECTURES]
    if not all(name.endswith(training.architecture) for name in architectures):
        raise InvalidInput(f"{run} is {', '.join(architectures)}; train it with --output {FAMILY.name}", path=str(run))
    token = StepTokenizer.open(str(run)).token_id(MARKER)
    adapter = stacked([trained_adapter(run)])
    state = adapter.state | trained_head(run, training.layers, token)
    config = {ARCHITECTURES: architectures, AGGREGATE_KEY: HEAD_AGGREGATE}
    facts = {"scale": adapter.scale, "config": config, "tokens": {MARKER: token}}
    _write(out / HEAD.name, state, out / HEAD_RECIPE.name, facts)


def check_head(run: Path, prepared: Path) -> float:
    """The share of weights that differ in bfloat16, because what ships is rounded.

    Raises InvalidInput if more do than rounding explains: the run did not begin from the checkpoint that ships.
    """
    trained, found = load_file(run / WEIGHTS), load_file(prepared / WEIGHTS)
    differing = sum(int(found[name].ne(tensor.bfloat16()).sum()) for name, tensor in trained.items())
    share = differing / sum(tensor.numel() for tensor in trained.values())
    if share > ROUNDED:
        raise InvalidInput(
            f"{share:.0%} of the weights of {run} are not those of {prepared}: train the head on what ships "
            f"(--base $(python -m stepscore.embedded.prepare)) and export it again",
            path=str(run),
        )
    return share


def config_of(run: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))
    return config


def _write(tensors: Path, state: State, recipe: Path, facts: Mapping[str, Any]) -> None:
    save_file(state, tensors)
    recipe.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{tensors}: {tensors.stat().st_size / 1e6:.1f} MB, {json.dumps(facts)}")


if __name__ == "__main__":
    typer.run(main)
