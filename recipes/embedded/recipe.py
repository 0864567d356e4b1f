"""Make the checkpoints that ship again, in one command.

    python -m recipes.embedded.recipe --data DATA --out runs/embedded

Writes the rows, trains the policy and then the reading with `stepscore train`, exports the adapter and fits the
constants; then samples from the policy, trains the class head on top of what was exported, exports it and fits its
bias. Finished parts are not done again, and a training run that was stopped continues. Needs the `train` and
`embedded` extras; CARD.md says what it took.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from recipes.embedded.head_rows import head_rows
from recipes.embedded.mixture import mixture, write_rows
from recipes.embedded.rows import Part, Row, problems_of, step_rows
from stepscore.embedded.prepare import prepare
from stepscore.embedded.sources import CODER_05B

WORKED = 1500
"""The training problems whose worked solutions the language model learns: the first ones."""

POLICY = "--lm-only --lora 16 --learning-rate 2e-4 --bf16 --batch 8 --eval-share 0.03 --eval-steps 40 --steps 160"
READING = (
    "--output number_logprob --share-prefixes --lora 16 --learning-rate 1.5e-4 --lm-weight 0.5 --positive-weight 2 "
    "--bf16 --batch 4 --eval-share 0.04 --eval-steps 30 --steps 95"
)

HEAD = (
    "--output qwen_math --share-prefixes --after-error zeroed --lora 2 --learning-rate 3e-4 --normalize-head "
    "--bf16 --compile --batch 1 --eval-share 0.02 --steps 780"
)
HEAD_PROBLEMS = 8
"""Of a step of the class head, over all processes."""
SAMPLED = "5000"
"""The training problems to which the policy samples solutions: the first ones."""


def worked_problems(gsm8k: Path) -> list[str]:
    return [worked.problem for worked in problems_of(gsm8k, Part.TRAIN)[:WORKED]]


def worked_rows(gsm8k: Path) -> Iterator[Row]:
    """Each problem with its worked solution, in a style of its own."""
    rows = step_rows(problems_of(gsm8k, Part.TRAIN)[:WORKED], 1)
    return (row for row in rows if row["kind"] == "clean")


def train(rows: Path, base: str, out: Path, options: str, processes: int = 1) -> None:
    """One run of `stepscore train`; what is finished stays, what was stopped continues."""
    manifest = out / "training.json"
    if manifest.is_file() and json.loads(manifest.read_text(encoding="utf-8"))["state"] == "finished":
        return
    resume = ["--resume"] if (out / "checkpoints").is_dir() else []
    command = ["train", str(rows), "--base", base, "--out", str(out), *shlex.split(options), "--save-steps", "30"]
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    run(*(launcher if processes > 1 else ()), "stepscore_service.commands.cli", *command, *resume)


def run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True)


def main(
    data: Annotated[Path, typer.Option(help="folder with gsm8k/ and steps/", exists=True)],
    out: Annotated[Path, typer.Option(help="folder for rows and runs; the same one continues")],
    shipped: Annotated[Path, typer.Option(help="folder of what ships")] = Path("models/stepscore/embedded"),
    processes: Annotated[int, typer.Option(min=1, max=HEAD_PROBLEMS, help="1, 2, 4 or 8 that train the head")] = 1,
) -> None:
    """Make the checkpoints that ship again."""
    if HEAD_PROBLEMS % processes:
        raise typer.BadParameter(
            f"{processes} cannot share the {HEAD_PROBLEMS} problems of a step; choose 1, 2, 4 or 8"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_rows(out / "worked.jsonl", [list(worked_rows(data / "gsm8k" / "train.jsonl"))])
    write_rows(out / "mixture.jsonl", mixture(data))
    train(out / "worked.jsonl", CODER_05B.name, out / "policy", POLICY)
    train(out / "mixture.jsonl", str(out / "policy"), out / "number_logprob", READING)
    runs = [argument for name in ("policy", "number_logprob") for argument in ("--trained", str(out / name))]
    run("recipes.embedded.export", *runs, "--out", str(shipped))
    run("recipes.embedded.fit", "--data", str(data), "--shipped", str(shipped))

    make_head(data, out, shipped, processes)


def make_head(data: Path, out: Path, shipped: Path, processes: int) -> None:
    """On top of what was exported to `shipped`."""
    sampled, policy = out / "sampled.jsonl", out / "policy"
    if not sampled.is_file():
        options = ["--data", str(data), "--policy", str(policy), "--problems", SAMPLED, "--out", str(sampled)]
        run("recipes.embedded.sample", *options)
    write_rows(out / "head.jsonl", head_rows(data, sampled))
    accumulated = f"{HEAD} --accumulate {HEAD_PROBLEMS // processes}"
    train(out / "head.jsonl", str(prepare(shipped=shipped)), out / "head", accumulated, processes)
    run("recipes.embedded.export", "--head", str(out / "head"), "--out", str(shipped))
    run("recipes.embedded.fit_head", "--data", str(data), "--shipped", str(shipped))


if __name__ == "__main__":
    typer.run(main)
