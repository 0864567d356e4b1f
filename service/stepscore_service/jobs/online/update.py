"""One round of PRIME: rollouts with outcomes in; rewards by the old weights, new weights and optimiser state out.

Source: PRIME (arXiv 2502.01456): reference frozen, learning rate 1e-6, gradients clipped at 10, `update=after`: the
rewards of a round are those from before its update. Rollouts are gone through twice and never held together.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from tempfile import NamedTemporaryFile

import torch

from stepscore.errors import InvalidInput, StepscoreError
from stepscore_service.jobs.data.labelled import Labelled, of_row
from stepscore_service.jobs.modeling.allocator import map_large_blocks
from stepscore_service.jobs.modeling.attention import avoid_cudnn_attention
from stepscore_service.jobs.modeling.bases import open_base
from stepscore_service.jobs.modeling.build import TrainSetup, build
from stepscore_service.jobs.modeling.plan import Learning, TrainPlan
from stepscore_service.jobs.modeling.saving import save
from stepscore_service.jobs.online.rounds import MANIFEST, OPTIMISER, Round, Rounds
from stepscore_service.jobs.online.scoring import Learnable, batch_of, learnable, score
from stepscore_service.jobs.online.settings import UpdateSettings
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.progress import with_progress
from stepscore_service.jobs.runs.run import chunks
from stepscore_service.jobs.runs.source import STDIN, Line, Source, open_source


class Diverged(StepscoreError):
    """The loss, a gradient or what new weights give is not a finite number; no round was made."""

    code = "diverged"


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Iterating raises InvalidInput, naming the line."""

    source: Source

    def __iter__(self) -> Iterator[Labelled]:
        return map(_rollout, self.source.lines())


def update(
    settings: UpdateSettings,
    rollouts: Iterable[Labelled],
    digest: str,
    rounds: Rounds,
    done: Callable[[str], None],
    total: int | None = None,
) -> Round:
    """The next round, or the last one if it was made of these very rollouts.

    rollouts: the same at every iteration. digest, total: of them. done: called with what has been done.
    Raises InvalidInput, CheckpointError, Diverged, OSError.
    """
    console.quiet_libraries()
    map_large_blocks()
    avoid_cudnn_attention()
    last = rounds.check(settings.identity())
    if last is not None and last.made_of["rollouts"] == digest:
        done(f"Round {last.number} was made of these rollouts already.")
        return last
    setup = _open(settings, last)
    with rounds.next() as folder:
        solutions = score(settings, setup, with_progress(rollouts, "rollouts scored", total), folder)
        done(f"{solutions} solutions scored by the old weights.")
        optimiser = _optimiser(settings, setup, last)
        losses = _learn(settings, setup, optimiser, with_progress(rollouts, "rollouts learnt from", total), solutions)
        left_out = dict(setup.encoder.left_out)
        _check_weights(settings, setup, rollouts)
        save(setup, folder)
        torch.save(optimiser.state_dict(), folder / OPTIMISER)
        made_of = {"settings": settings.identity(), "rollouts": digest, "solutions": solutions, "losses": losses}
        made_of["left_out"] = left_out
        (folder / MANIFEST).write_text(json.dumps(made_of, indent=1) + "\n", encoding="utf-8")
    made = rounds.last()
    assert made is not None
    return made


def _open(settings: UpdateSettings, last: Round | None) -> TrainSetup:
    """The model of the last round, or the first one, beside the frozen reference."""
    base = settings.model if last is None else str(last.folder)
    learning = Learning(rate=settings.rate)
    setup = build(TrainPlan(base, output="implicit", objective="implicit", beta=settings.beta, learning=learning))
    if base != settings.reference:
        setup.model.reference = open_base(settings.reference, torch.float32).lm.requires_grad_(False).eval()
    setup.model.eval()
    return setup


def _optimiser(settings: UpdateSettings, setup: TrainSetup, last: Round | None) -> torch.optim.Optimizer:
    trained = [each for each in setup.model.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=settings.rate, weight_decay=0.0)
    if last is not None:
        optimiser.load_state_dict(torch.load(last.folder / OPTIMISER, weights_only=True))
    return optimiser


def _learn(
    settings: UpdateSettings,
    setup: TrainSetup,
    optimiser: torch.optim.Optimizer,
    rollouts: Iterable[Labelled],
    solutions: int,
) -> list[dict[str, float]]:
    """Optimiser steps over all solutions, `batch` of them each; what each step saw."""
    pairs = learnable(setup, rollouts)
    size = settings.batch or solutions
    sizes = (min(size, solutions - start) for start in range(0, solutions, size))
    losses = [_step(settings, setup, optimiser, islice(pairs, size), size) for size in sizes]
    next(pairs, None)  # skips the rollouts after the last one that was learnt from, which ends the bar
    return losses


@torch.no_grad()
def _check_weights(settings: UpdateSettings, setup: TrainSetup, rollouts: Iterable[Labelled]) -> None:
    """No loss follows the last step, so the first solutions are computed once more. Raises Diverged."""
    batch = batch_of(setup, list(islice(learnable(setup, rollouts), settings.micro)))
    if not setup.model(batch)[0].isfinite().all():
        raise Diverged("the new weights give numbers that are not finite; no round was made. Lower --rate")


def _step(
    settings: UpdateSettings, setup: TrainSetup, optimiser: torch.optim.Optimizer, pairs: Iterator[Learnable], size: int
) -> dict[str, float]:
    """One optimiser step over `size` solutions; the loss and the norm of the gradient. Raises Diverged."""
    optimiser.zero_grad()
    loss = 0.0
    for group in chunks(pairs, settings.micro):
        batch = batch_of(setup, group)
        part = setup.objective.total(setup.model(batch)[0], batch.targets) / size
        part.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        loss += part.item()
    norm = float(torch.nn.utils.clip_grad_norm_(setup.model.parameters(), settings.clip))
    if not torch.isfinite(torch.tensor([loss, norm])).all():
        raise Diverged("the loss is not a finite number; no round was made. Lower --rate or check the rollouts")
    optimiser.step()
    return {"loss": loss, "gradient_norm": norm}


@contextmanager
def open_rollouts(path: str) -> Iterator[Source]:
    """A file, or a temporary copy of standard input. Ends the command if it cannot be read."""
    if path != STDIN:
        yield open_source(path)
        return
    with NamedTemporaryFile(suffix=".jsonl") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield open_source(kept.name)


def _rollout(line: Line) -> Labelled:
    """Labels of steps are not needed: a row without them gets none."""
    row = line.row()
    steps = row.get("completions")
    labels = [None] * len(steps) if isinstance(steps, list) else []
    try:
        return of_row({"labels": labels, **row})
    except InvalidInput as error:
        raise InvalidInput(f"line {line.number}: {error.message}", line=line.number, **error.detail) from error
