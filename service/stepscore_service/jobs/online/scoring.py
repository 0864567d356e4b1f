"""The rewards of a round, from before its update: a JSON line for each rollout, never all of them in memory.

What a return needs of the whole round (the scale of its rewards, the moments of its returns) is known only at its end,
so rows are written as they are scored and gone through again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from stepscore.checkpoint import checkpoint_facts
from stepscore.errors import InvalidInput
from stepscore.families.implicit import AnswerTokens
from stepscore.family.registry import Parts, bind, family_named
from stepscore.types import EncodedSolution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.modeling.batch import TrainBatch, collator
from stepscore_service.jobs.modeling.build import TrainSetup
from stepscore_service.jobs.modeling.example import Example
from stepscore_service.jobs.online import prime
from stepscore_service.jobs.online.rounds import REWARDS
from stepscore_service.jobs.online.settings import UpdateSettings
from stepscore_service.jobs.runs.run import chunks
from stepscore_service.jobs.runs.source import JsonRow

SCORED = "scored.jsonl"
Learnable = tuple[Labelled, Example]


def score(settings: UpdateSettings, setup: TrainSetup, rollouts: Iterable[Labelled], folder: Path) -> int:
    """Write REWARDS into the folder; how many solutions there are to learn from.

    A row: step rewards as they are served, token rewards with the tokens that they belong to, and with `samples`
    PRIME's returns and advantages. Raises InvalidInput if no rollout can be learnt from, or if the rollouts of a
    problem are not consecutive.
    """
    parts = bind(family_named("implicit"), checkpoint_facts(settings.reference), {})
    scored = folder / SCORED
    count = _write(scored, _score_rows(settings, setup, parts, rollouts))
    if not count:
        raise InvalidInput('no rollout can be learnt from: each needs "outcome": true or false', field="outcome")
    _write(folder / REWARDS, map(_without_outcome, _finish_rows(scored, settings.samples)))
    scored.unlink()
    return count


def learnable(setup: TrainSetup, rollouts: Iterable[Labelled]) -> Iterator[Learnable]:
    """Those with an outcome that the layout takes; the encoder counts the others anew."""
    setup.encoder.left_out.clear()
    known = (rollout for rollout in rollouts if rollout.outcome is not None)
    return ((rollout, example) for rollout in known for example in setup.encoder.examples([rollout]))


def batch_of(setup: TrainSetup, group: Sequence[Learnable]) -> TrainBatch:
    return collator(setup.objective, "padded")([(example,) for _, example in group])


def _score_rows(
    settings: UpdateSettings, setup: TrainSetup, parts: Parts, rollouts: Iterable[Labelled]
) -> Iterator[JsonRow]:
    for group in chunks(learnable(setup, rollouts), settings.micro):
        for (rollout, _), values in zip(group, _numbers(setup, batch_of(setup, group)), strict=True):
            encoded = parts.layout.encode(rollout.solution)
            reading = parts.read([values.numpy()], encoded)
            yield {
                "prompt": rollout.solution.problem,
                "rewards": list(reading.rewards),
                **_tokens_read(parts, rollout, encoded),
                "token_rewards": prime.token_rewards(values).tolist(),
                "outcome": rollout.outcome,
            }


@torch.no_grad()
def _numbers(setup: TrainSetup, batch: TrainBatch) -> list[Tensor]:
    """For each solution the log-probabilities (T, 2) of policy and reference."""
    return list(batch.targets.per_solution(setup.model(batch)[0]))


def _finish_rows(scored: Path, samples: int) -> Iterator[JsonRow]:
    if not samples:
        return _read(scored)
    largest = max(prime.largest_to_go(_tokens(row)) for row in _read(scored))
    moments = prime.Moments()
    for found in _returns(scored, samples, largest):
        moments.add(found)
    pairs = zip(_read(scored), _returns(scored, samples, largest), strict=True)
    return (row | {"returns": sums.tolist(), "advantages": moments.whiten(sums).tolist()} for row, sums in pairs)


def _returns(scored: Path, samples: int, largest: float) -> Iterator[Tensor]:
    """Of every row in turn, problem by problem."""
    return chain.from_iterable(_of_problem(group, samples, largest) for group in chunks(_read(scored), samples))


def _of_problem(group: Sequence[JsonRow], samples: int, largest: float) -> list[Tensor]:
    """Raises InvalidInput if solutions that are compared with each other solve different problems."""
    if len({row["prompt"] for row in group}) > 1:
        raise InvalidInput(
            f"{samples} rollouts in a row solve different problems, the first {group[0]['prompt'][:80]!r}; let the "
            f"{samples} of each problem must be consecutive, all with an outcome"
        )
    tokens = [prime.scale(_tokens(row), largest) for row in group]
    return prime.returns(tokens, [float(row["outcome"]) for row in group], samples)


def _tokens_read(parts: Parts, rollout: Labelled, encoded: EncodedSolution) -> JsonRow:
    """Which token each token reward belongs to: its id, and the characters of a step that it holds."""
    assert isinstance(parts.layout, AnswerTokens)
    return {"token_ids": encoded.sequences[0].targets, "token_spans": parts.layout.spans(rollout.solution)}


def _tokens(row: JsonRow) -> Tensor:
    return torch.tensor(row["token_rewards"])


def _without_outcome(row: JsonRow) -> JsonRow:
    return {name: value for name, value in row.items() if name != "outcome"}


def _read(path: Path) -> Iterator[JsonRow]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _write(path: Path, rows: Iterable[JsonRow]) -> int:
    """How many rows there were."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            count += 1
    return count
