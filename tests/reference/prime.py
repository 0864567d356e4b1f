"""PRIME's update in plain Python numbers: source of truth for the tests of jobs/online.

Not a transcription: the formulas of arXiv 2502.01456, sections 3 and 4, term by term. They give what the authors' code
gives (tests/authors/prime.py): PRIME-RL/PRIME at 18ad596f08d487bb546d80d738d99ec697bd2e75, in `training/verl`:
`trainer/ppo/core_algos.py` lines 108-152 and 265-268, `workers/actor/dp_prime.py` lines 239-241 and
`utils/torch_functional.py` lines 107-136.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Rows = Sequence[Sequence[float]]


def cross_entropy(rows: Rows, outcomes: Sequence[float], beta: float) -> float:
    total = 0.0
    for row, outcome in zip(rows, outcomes, strict=True):
        probability = 1 / (1 + math.exp(-beta * sum(row)))
        total -= outcome * math.log(probability) + (1 - outcome) * math.log(1 - probability)
    return total / len(rows)


def normalised(rows: Rows) -> list[list[float]]:
    largest = max(abs(sum(row[t:])) for row in rows for t in range(len(row)))
    return [[q / (largest + 1e-6) for q in row] for row in rows]


def returns(rows: Rows, outcomes: Sequence[float], samples: int) -> list[list[float]]:
    found = []
    for i, row in enumerate(rows):
        group = range(i // samples * samples, i // samples * samples + samples)
        means = sum(sum(rows[j]) / len(rows[j]) for j in group)
        outcome = (samples * outcomes[i] - sum(outcomes[j] for j in group)) / (samples - 1)
        shifted = [q * samples / (samples - 1) - means / (samples - 1) for q in row]
        found.append([sum(shifted[t:]) + outcome for t in range(len(row))])
    return found


def whitened(rows: Rows) -> list[list[float]]:
    every = [each for row in rows for each in row]
    mean = sum(every) / len(every)
    variance = sum((each - mean) ** 2 for each in every) / (len(every) - 1)
    return [[(each - mean) / math.sqrt(variance + 1e-8) for each in row] for row in rows]
