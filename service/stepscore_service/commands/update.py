"""`stepscore update`: a round of online learning for an implicit PRM."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from stepscore.errors import StepscoreError
from stepscore_service.commands.flags import with_options
from stepscore_service.commands.push import AdminToken
from stepscore_service.jobs.online.settings import UpdateRunOptions, UpdateSettings
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.push import push_weights

NEEDED = ("accelerate", "peft")


@with_options
def update(
    rollouts: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL rollouts with outcomes; - reads stdin")],
    *,
    settings: UpdateSettings,
    options: UpdateRunOptions,
    token: AdminToken = "",
) -> None:
    """Learn from new rollouts and push the new weights to a service (PRIME).

    The rewards that the old weights give go to standard output, a JSON line for each rollout. The same rows again
    change nothing: the last round is pushed once more.
    """
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        console.fail(f"update needs {', '.join(lacking)}: pip install 'stepscore[train]'")
    from stepscore_service.jobs.online.rounds import REWARDS, Rounds
    from stepscore_service.jobs.online.update import Rollouts, open_rollouts
    from stepscore_service.jobs.online.update import update as run  # loads torch

    whole = replace(settings, reference=settings.reference or settings.model)
    try:
        with open_rollouts(str(rollouts)) as source:
            given = Rollouts(source)
            read = sum(1 for _ in given)  # a bad row is reported before a model is opened
            made = run(whole, given, str(source.digest), Rounds(options.out, options.keep), console.info, read)
    except StepscoreError as error:
        console.fail_with(error)
    except OSError as error:
        console.fail(
            f"cannot write {options.out}: {error.strerror}; the rounds before are whole", console.ENGINE_FAILED
        )
    except KeyboardInterrupt:
        console.info(f"Stopped; {options.out} holds the rounds before. The same command makes this one.")
        raise typer.Exit(console.INTERRUPTED) from None
    with (made.folder / REWARDS).open(encoding="utf-8") as rewards:
        shutil.copyfileobj(rewards, console.OUT.file)
    console.info(f"Round {made.number}: {made.folder}, loss {made.made_of['losses'][-1]['loss']:.4f}")
    if options.push:
        answer = push_weights(str(made.folder), options.push, options.served, token)
        console.info(f"{options.push} serves revision {answer.revision} now.")
