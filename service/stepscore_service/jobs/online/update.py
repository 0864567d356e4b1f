"""One round of PRIME: rollouts with outcomes in; rewards by the old weights, new weights and optimiser state out.

Source: PRIME (arXiv 2502.01456): reference frozen, learning rate 1e-6, gradients clipped at 10, `update=after`: the
rewards of a round are those from before its update.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from stepscore.errors import InvalidInput, StepscoreError
from stepscore.registry import family_named
from stepscore.scorer import bind, checkpoint_facts
from stepscore_service.jobs.labelled import Labelled
from stepscore_service.jobs.online import prime
from stepscore_service.jobs.online.rounds import MANIFEST, OPTIMISER, REWARDS, Round, Rounds
from stepscore_service.jobs.train.bases import open_base
from stepscore_service.jobs.train.batch import Batch, collator
from stepscore_service.jobs.train.build import Trainee, build
from stepscore_service.jobs.train.example import Example
from stepscore_service.jobs.train.plan import Learning, Plan
from stepscore_service.jobs.train.saving import save


class Diverged(StepscoreError):
    """The loss or a gradient is no number; nothing was written. detail: step."""

    code = "diverged"


@dataclass(frozen=True, slots=True)
class Settings:
    """model: the first weights. reference: stays as it is. samples: rollouts of one problem that stand together; 0
    leaves returns out. batch: solutions of one optimiser step; 0 takes all in one. micro: solutions of one forward.
    """

    model: str
    reference: str
    samples: int = 0
    batch: int = 0
    micro: int = 4
    rate: float = 1e-6
    clip: float = 10.0
    beta: float = 0.05

    def identity(self) -> dict[str, Any]:
        return asdict(self)


def update(
    settings: Settings, rollouts: Sequence[Labelled], digest: str, rounds: Rounds, done: Callable[[str], None]
) -> Round:
    """The next round, or the last one where it was made of these very rollouts.

    digest: of the rollouts. done: told what has been done. Raises InvalidInput, CheckpointError, Diverged, OSError.
    """
    last = rounds.check(settings.identity())
    if last is not None and last.made_of["rollouts"] == digest:
        done(f"Round {last.number} was made of these rollouts already.")
        return last
    trainee = _open(settings, last)
    learnt, examples = _examples(trainee, rollouts)
    numbers = _score(settings, trainee, examples)
    rows = list(_rewards(settings, learnt, numbers))
    done(f"{len(examples)} solutions scored by the old weights.")
    optimiser = _optimiser(settings, trainee, last)
    losses = [_step(settings, trainee, optimiser, group) for group in _groups(examples, settings.batch)]
    with rounds.next() as folder:
        save(trainee, folder)
        torch.save(optimiser.state_dict(), folder / OPTIMISER)
        (folder / REWARDS).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        made_of = {"settings": settings.identity(), "rollouts": digest, "solutions": len(examples), "losses": losses}
        made_of["left_out"] = dict(trainee.encoder.left_out)
        (folder / MANIFEST).write_text(json.dumps(made_of, indent=1) + "\n", encoding="utf-8")
    made = rounds.last()
    assert made is not None
    return made


def _open(settings: Settings, last: Round | None) -> Trainee:
    """The model of the last round, or the first one, beside the frozen reference."""
    base = settings.model if last is None else str(last.folder)
    learning = Learning(rate=settings.rate)
    trainee = build(Plan(base, output="implicit", objective="implicit", beta=settings.beta, learning=learning))
    if base != settings.reference:
        trainee.model.reference = open_base(settings.reference, torch.float32).lm.requires_grad_(False).eval()
    trainee.model.eval()
    return trainee


def _examples(trainee: Trainee, rollouts: Sequence[Labelled]) -> tuple[list[Labelled], list[Example]]:
    """Those with an outcome that the layout takes. Raises InvalidInput where none is left."""
    learnt, examples = [], []
    for rollout in rollouts:
        for example in trainee.encoder.examples([] if rollout.outcome is None else [rollout]):
            learnt.append(rollout)
            examples.append(example)
    if not examples:
        raise InvalidInput('no rollout can be learnt from: each needs "outcome": true or false', field="outcome")
    return learnt, examples


def _batches(settings: Settings, trainee: Trainee, examples: Sequence[Example]) -> Iterator[Batch]:
    collate = collator(trainee.objective, "padded")
    return (collate([(each,) for each in group]) for group in _groups(examples, settings.micro))


def _groups(examples: Sequence[Example], size: int) -> list[Sequence[Example]]:
    size = size or len(examples)
    return [examples[start : start + size] for start in range(0, len(examples), size)]


@torch.no_grad()
def _score(settings: Settings, trainee: Trainee, examples: Sequence[Example]) -> list[Tensor]:
    """For each solution the log-probabilities (T, 2) of policy and reference, before the update."""
    batches = _batches(settings, trainee, examples)
    return [each for batch in batches for each in batch.targets.per_solution(trainee.model(batch)[0])]


def _rewards(settings: Settings, learnt: Sequence[Labelled], numbers: Sequence[Tensor]) -> Iterator[dict[str, Any]]:
    """A row for each rollout: step rewards as they are served, token rewards, and with `samples` PRIME's returns."""
    parts = bind(family_named("implicit"), checkpoint_facts(settings.reference), {})
    tokens = [prime.token_rewards(each) for each in numbers]
    further: list[Mapping[str, Any]] = [{}] * len(tokens)
    if settings.samples:
        _check_groups(learnt, settings.samples)
        outcomes = [float(rollout.outcome or 0.0) for rollout in learnt]
        found = prime.returns(prime.normalised(tokens), outcomes, settings.samples)
        pairs = zip(found, prime.advantages(found), strict=True)
        further = [{"returns": sums.tolist(), "advantages": white.tolist()} for sums, white in pairs]
    for rollout, values, q_T, more in zip(learnt, numbers, tokens, further, strict=True):
        reading = parts.read([values.numpy()], parts.layout.encode(rollout.solution))
        yield {"prompt": rollout.solution.problem, "rewards": list(reading.rewards), "token_rewards": q_T.tolist()} | {
            **more
        }


def _check_groups(learnt: Sequence[Labelled], samples: int) -> None:
    """Raises InvalidInput where solutions that are compared with each other solve different problems."""
    for start in range(0, len(learnt), samples):
        if len({rollout.solution.problem for rollout in learnt[start : start + samples]}) > 1:
            raise InvalidInput(
                f"rollouts {start} to {start + samples - 1} solve different problems; let the {samples} of each "
                "problem stand together, all with an outcome"
            )


def _optimiser(settings: Settings, trainee: Trainee, last: Round | None) -> torch.optim.Optimizer:
    trained = [each for each in trainee.model.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=settings.rate, weight_decay=0.0)
    if last is not None:
        optimiser.load_state_dict(torch.load(last.folder / OPTIMISER, weights_only=True))
    return optimiser


def _step(
    settings: Settings, trainee: Trainee, optimiser: torch.optim.Optimizer, group: Sequence[Example]
) -> dict[str, float]:
    """One optimiser step over a group; the loss and the norm of the gradient. Raises Diverged."""
    optimiser.zero_grad()
    loss = 0.0
    for batch in _batches(settings, trainee, group):
        part = trainee.objective.total(trainee.model(batch)[0], batch.targets) / len(group)
        part.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        loss += part.item()
    norm = float(torch.nn.utils.clip_grad_norm_(trainee.model.parameters(), settings.clip))
    if not torch.isfinite(torch.tensor([loss, norm])).all():
        raise Diverged("the loss is no finite number; nothing was written. Lower --rate or look at the rollouts")
    optimiser.step()
    return {"loss": loss, "gradient_norm": norm}
