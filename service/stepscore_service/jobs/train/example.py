"""A labelled solution as the family's layout writes it, ready for a batch; what cannot be used is counted by reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stepscore.errors import InvalidInput
from stepscore.layout import Layout
from stepscore.types import Encoded, EncodedSolution, Solution
from stepscore_service.jobs.labelled import Labelled
from stepscore_service.jobs.train.targets import Labels

PROBES = ("a", "1")
"""Two first steps that share no beginning, so that where their texts part is where the answer begins."""


@dataclass(frozen=True, slots=True)
class Example:
    """ids: T tokens. reads: S positions. labels: (S,) NaN where not judged. outcome: NaN where not known.

    answer: the first token of the answer, from which on tokens are predicted; 0 predicts none. read_targets: (S,) the
    token whose probability is read, 0 where the head reads none.
    """

    ids: NDArray[np.int32]
    reads: NDArray[np.int32]
    read_targets: NDArray[np.int32]
    labels: NDArray[np.float32]
    outcome: float
    answer: int = 0


@dataclass(slots=True)
class Encoder:
    """layout: the family's. labels: which steps count, and as what. predict: whether the answer's tokens are learnt.

    left_out: why solutions were not used, and how many; filled while examples are made.
    """

    layout: Layout
    labels: Callable[[Labelled], Labels]
    limit: int
    predict: bool = False
    left_out: Counter[str] = field(default_factory=Counter)

    def examples(self, solutions: Iterable[Labelled]) -> Iterator[Example]:
        for labelled in solutions:
            try:
                encoded = self.layout.encode(labelled.solution)
            except InvalidInput as error:
                self.left_out[error.code] += 1
                continue
            if max(len(sequence.ids) for sequence in encoded.sequences) > self.limit:
                self.left_out[f"longer than {self.limit} tokens"] += 1
                continue
            yield self._example(labelled, encoded)

    def _example(self, labelled: Labelled, encoded: EncodedSolution) -> Example:
        (sequence,) = encoded.sequences
        outcome = math.nan if labelled.outcome is None else float(labelled.outcome)
        answer = answer_start(self.layout, labelled.solution.problem) if self.predict else 0
        return Example(
            ids=np.array(sequence.ids, np.int32),
            reads=np.array(sequence.reads, np.int32),
            read_targets=np.array(sequence.targets or (0,) * len(sequence.reads), np.int32),
            labels=self._labels(labelled, sequence),
            outcome=outcome,
            answer=answer,
        )

    def _labels(self, labelled: Labelled, sequence: Encoded) -> NDArray[np.float32]:
        """NaN everywhere where reads are tokens, not steps."""
        if len(sequence.reads) != len(labelled.labels):
            return np.full(len(sequence.reads), np.nan, np.float32)
        labels = self.labels(labelled)
        return np.array([math.nan if label is None else label for label in labels], np.float32)


def answer_start(layout: Layout, problem: str) -> int:
    """The first token after what depends on the problem alone. Raises InvalidInput as the layout does."""
    one, other = (layout.encode(Solution(problem, (probe,))).sequences[0].ids for probe in PROBES)
    return next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))
