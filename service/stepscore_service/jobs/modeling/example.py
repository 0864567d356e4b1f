"""A labelled solution as the family's layout writes it, ready for a batch; what cannot be used is counted by reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stepscore.errors import InvalidInput
from stepscore.family.layout import Layout
from stepscore.types import Encoded, EncodedSolution, Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.modeling.targets import Labels

PROBES = ("a", "1")
"""Two first steps that share no beginning, so that where their texts part is where the answer begins."""


@dataclass(frozen=True, slots=True)
class Example:
    """ids: T tokens. reads: S positions. labels: (N,) NaN if not judged. outcome: NaN if not known.

    N is S, or the number of steps if `marks` (N,) says how many reads a step has (negative: see the family).
    predicted: tokens whose prediction is learnt. read_targets: (S,) the token whose probability is read, 0 if the
    head reads none. problem: which problem's solution this is.
    """

    ids: NDArray[np.int32]
    reads: NDArray[np.int32]
    read_targets: NDArray[np.int32]
    labels: NDArray[np.float32]
    outcome: float
    predicted: range = range(0)
    marks: NDArray[np.int32] | None = None
    problem: str = ""


@dataclass(slots=True)
class Encoder:
    """layout: the family's. labels: which steps count, and as what. predict: whether the answer's tokens are learnt.

    marked: whether the layout's marks say how many reads each step has. error_below: labels under it are errors.
    left_out: why solutions were not used, and how many; filled while examples are made.
    """

    layout: Layout
    labels: Callable[[Labelled], Labels]
    limit: int
    predict: bool = False
    marked: bool = False
    error_below: float = 0.0
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
        marks = np.array(encoded.marks, np.int32) if self.marked else None
        return Example(
            ids=np.array(sequence.ids, np.int32),
            reads=np.array(sequence.reads, np.int32),
            read_targets=np.array(sequence.targets or (0,) * len(sequence.reads), np.int32),
            labels=self._labels(labelled, len(sequence.reads if marks is None else marks)),
            outcome=outcome,
            predicted=self._predicted_tokens(labelled, sequence) if self.predict else range(0),
            marks=marks,
            problem=labelled.solution.problem,
        )

    def _predicted_tokens(self, labelled: Labelled, sequence: Encoded) -> range:
        """From the answer's first token to the first step that was judged wrong: mistakes are not learnt."""
        solution, first_error = labelled.solution, labelled.first_error(self.error_below)
        start = answer_start(self.layout, solution.problem)
        if first_error is None:
            return range(start, len(sequence.ids))
        if not first_error:
            return range(0)
        (sound,) = self.layout.encode(Solution(solution.problem, solution.steps[:first_error])).sequences
        return range(start, common(sound.ids, sequence.ids))

    def _labels(self, labelled: Labelled, numbers: int) -> NDArray[np.float32]:
        """NaN everywhere if tokens are read, not steps. numbers: N."""
        if numbers != len(labelled.labels):
            return np.full(numbers, np.nan, np.float32)
        labels = self.labels(labelled)
        return np.array([math.nan if label is None else label for label in labels], np.float32)


def answer_start(layout: Layout, problem: str) -> int:
    """The first token after what depends on the problem alone. Raises InvalidInput as the layout does."""
    return common(*(layout.encode(Solution(problem, (probe,))).sequences[0].ids for probe in PROBES))


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many first tokens are the same."""
    return next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))
