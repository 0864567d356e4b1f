"""What is trained on and what is held out, checked for whether anything can be learnt from it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stepscore.errors import InvalidInput
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.modeling.example import Encoder, Example


@dataclass(frozen=True, slots=True)
class TrainData:
    """left_out: solutions that were not used, by reason."""

    train: Sequence[Example]
    held_out: Sequence[Example]
    left_out: Counter[str]

    @property
    def tokens(self) -> int:
        return sum(len(example.ids) for example in self.train)


def read(
    solutions: Iterable[Labelled], encoder: Encoder, share: float, seen: Callable[[], None] = lambda: None
) -> TrainData:
    """share: of problems that are held out, the same ones in every run. seen: called for each solution.

    Raises InvalidInput if nothing is left to train on.
    """
    train: list[Example] = []
    held_out: list[Example] = []
    for labelled in solutions:
        seen()
        side = held_out if _fraction(labelled.solution.problem) < share else train
        side += encoder.examples([labelled])
    if not train:
        reasons = ", ".join(f"{count} {reason}" for reason, count in encoder.left_out.items()) or "there are none"
        raise InvalidInput(f"no solution is left to train on ({reasons})", left_out=dict(encoder.left_out))
    return TrainData(train, held_out, encoder.left_out)


def check_labels(examples: Sequence[Example], error_below: float = 0.0) -> None:
    """Raises InvalidInput if no step is judged, or all are of one kind."""
    labels = np.concatenate([example.labels for example in examples])
    _check_kinds(labels[~np.isnan(labels)], "steps", error_below)


def check_soft_labels(examples: Sequence[Example]) -> None:
    """The same for labels that are learnt as they are, such as another model's rewards: they must differ."""
    labels = np.concatenate([example.labels for example in examples])
    judged = labels[~np.isnan(labels)]
    if not len(judged):
        raise InvalidInput("no usable labels: none of the steps has one")
    if np.ptp(judged) == 0:
        raise InvalidInput(f"all {len(judged)} labels are {judged[0]:g}; a model learns only from labels that differ")


def check_outcomes(examples: Sequence[Example]) -> None:
    """The same for outcomes, which an implicit PRM learns from."""
    outcomes = np.array([example.outcome for example in examples])
    _check_kinds(outcomes[~np.isnan(outcomes)], "outcomes", 0.0)


def _check_kinds(judged: np.ndarray, what: str, error_below: float) -> None:
    if not len(judged):
        raise InvalidInput(f"no usable labels: none of the {what} has one")
    good = (judged > 0.0) & (judged >= error_below)
    if good.all() or not good.any():
        kind = "right" if good.all() else "wrong"
        soft = ". Labels between 0 and 1 are right here: --objective soft learns them, --error-below draws a line"
        hint = soft if ((judged > 0.0) & (judged < 1.0)).any() else ""
        raise InvalidInput(f"all {len(judged)} judged {what} are {kind}; a model learns only from both kinds{hint}")


def _fraction(problem: str) -> float:
    """In [0, 1), of the problem's text alone: a problem is never on both sides."""
    return int.from_bytes(hashlib.sha256(problem.encode("utf-8", "replace")).digest()[:4]) / 2**32
