"""Solution AUROC and best-of-N accuracy for every aggregate, from the output of `stepscore rerank`.

    stepscore rerank candidates.jsonl --out reranked.jsonl
    python benchmarks/gsm8k_best_of_n.py reranked.jsonl

The step rewards in the rows are aggregated again in every way, so that one run of the model serves all of them. The
intervals are percentile bootstraps over problems (1,000 rounds, seed 0). Needs the `train` extra.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from stepscore.aggregate import aggregate_all
from stepscore.types import PROBABILITY

NAMES = ("min", "prod", "mean", "geometric_mean", "weighted_mean", "soft_min", "last")
ROUNDS = 1000
Booleans = NDArray[np.bool_]
Doubles = NDArray[np.float64]


def read_rows(file: Path) -> tuple[dict[str, Doubles], Booleans, int]:
    """Scores by aggregate (problems, N), which candidates are right (problems, N), and rows without scores."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    scored = [row for row in rows if "results" in row]
    scores: dict[str, list[list[float]]] = {name: [] for name in NAMES}
    for row in scored:
        by_place = sorted(row["results"], key=lambda result: result["index"])
        found = [aggregate_all(result["rewards"], PROBABILITY) for result in by_place]
        for name in NAMES:
            scores[name].append([each[name] for each in found])
    correct = np.array([row["correct"] for row in scored])
    return {name: np.array(values) for name, values in scores.items()}, correct, len(rows) - len(scored)


def picked(scores_PN: Doubles, correct_PN: Booleans) -> Doubles:
    """(P,): 1 where the candidate with the highest score is right."""
    chosen = correct_PN[np.arange(len(correct_PN)), scores_PN.argmax(axis=1)]
    return np.asarray(chosen, dtype=np.float64)


def interval(values_P: Doubles) -> str:
    """The mean of a number per problem, with its 95% interval, in percent."""
    rng = np.random.default_rng(0)
    means = [values_P[rng.integers(0, len(values_P), len(values_P))].mean() for _ in range(ROUNDS)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{100 * values_P.mean():.1f} ({100 * low:.1f}-{100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reranked", type=Path)
    scores, correct, failed = read_rows(parser.parse_args().reranked)
    print(f"{len(correct)} problems, {correct.shape[1]} candidates each, {failed} rows without scores")
    chance = np.asarray(correct.mean(axis=1), dtype=np.float64)
    oracle = np.asarray(correct.any(axis=1), dtype=np.float64)
    print(f"mean candidate: {interval(chance)} %, any right: {interval(oracle)} %\n")
    print("| aggregate | solution AUROC | best of N, % (95%) |\n|---|---|---|")
    for name in NAMES:
        auroc = roc_auc_score(correct.ravel(), scores[name].ravel())
        print(f"| {name} | {auroc:.3f} | {interval(picked(scores[name], correct))} |")


if __name__ == "__main__":
    main()
