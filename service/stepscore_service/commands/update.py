"""`stepscore update`: a round of online learning for an implicit PRM."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from stepscore.errors import StepscoreError
from stepscore_service.commands.push import Token, pushed
from stepscore_service.jobs.runs import console

NEEDED = ("accelerate", "peft")


def update(
    rollouts: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL rollouts with outcomes; - reads stdin")],
    model: Annotated[str, typer.Option("--model", help="the implicit PRM that the first round starts from")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="where rounds are written, numbered")],
    reference: Annotated[str, typer.Option("--reference", help="frozen; by default the model itself")] = "",
    push: Annotated[str, typer.Option("--push", metavar="URL", help="a service that takes the new weights")] = "",
    served: Annotated[str | None, typer.Option("--served", help="its model's name; by default the first")] = None,
    token: Token = "",
    samples: Annotated[int, typer.Option("--samples", min=0, help="rollouts of each problem, for returns")] = 0,
    batch: Annotated[int, typer.Option("--batch", min=0, help="solutions of one step; 0 takes all")] = 0,
    rate: Annotated[float, typer.Option("--rate", min=0.0, help="learning rate")] = 1e-6,
    clip: Annotated[float, typer.Option("--clip", min=0.0, help="largest norm of the gradient")] = 10.0,
    beta: Annotated[float, typer.Option("--beta", min=0.0, help="of the log-ratio in the loss")] = 0.05,
    keep: Annotated[int, typer.Option("--keep", min=2, help="rounds that stay on disk")] = 3,
) -> None:
    """Learn from new rollouts and put the new weights to work (PRIME).

    Rewards by the weights from before the update go to standard output, a JSON line for each rollout. The same rows
    again change nothing: the last round is pushed once more.
    """
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        console.fail(f"update needs {', '.join(lacking)}: pip install 'stepscore[train]'")
    from stepscore_service.jobs.online.inputs import Rollouts, opened
    from stepscore_service.jobs.online.rounds import REWARDS, Rounds
    from stepscore_service.jobs.online.settings import UpdateSettings
    from stepscore_service.jobs.online.update import update as run  # loads torch

    settings = UpdateSettings(model, reference or model, samples=samples, batch=batch, rate=rate, clip=clip, beta=beta)
    try:
        with opened(str(rollouts)) as source:
            given = Rollouts(source)
            read = sum(1 for _ in given)  # a bad row is told before a model is opened
            made = run(settings, given, str(source.digest), Rounds(out, keep), console.info, read)
    except StepscoreError as error:
        console.fail_with(error)
    except OSError as error:
        console.fail(f"cannot write {out}: {error.strerror}; the rounds before are whole", console.ENGINE_FAILED)
    except KeyboardInterrupt:
        console.info(f"Stopped; {out} holds the rounds before. The same command makes this one.")
        raise typer.Exit(console.INTERRUPTED) from None
    with (made.folder / REWARDS).open(encoding="utf-8") as rewards:
        shutil.copyfileobj(rewards, console.OUT.file)
    console.info(f"Round {made.number}: {made.folder}, loss {made.made_of['losses'][-1]['loss']:.4f}")
    if push:
        answer = pushed(str(made.folder), push, served, token)
        console.info(f"{push} serves revision {answer.revision} now.")
