"""Solution AUROC and best-of-N accuracy for every aggregate, from the output of `stepscore rerank`, as a short table.

    stepscore rerank candidates.jsonl --out reranked.jsonl
    python benchmarks/gsm8k_best_of_n.py reranked.jsonl

The numbers are those of `stepscore evaluate --best-of-n reranked.jsonl`, which draws them too. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepscore_service.jobs.evaluate.suites.base import RewardFacts
from stepscore_service.jobs.evaluate.suites.best_of_n import BestOfN, range_of
from stepscore_service.jobs.evaluate.suites.choosing import BEST, CHANCE, MAJORITY, ORACLE


def measure(file: Path) -> tuple[dict[str, Any], int]:
    """The suite's numbers, and how many rows are without scores."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    suite = BestOfN()
    kept = [suite.keep(row, []) for row in rows if "results" in row]
    return suite.measure({"": kept}, RewardFacts(range_of(kept)))[""], len(rows) - len(kept)


def interval(estimate: Mapping[str, float]) -> str:
    """In percent, with its 95% interval."""
    return f"{100 * estimate['value']:.1f} ({100 * estimate['low']:.1f} to {100 * estimate['high']:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reranked", type=Path)
    found, failed = measure(parser.parse_args().reranked)
    right = {name: interval(curve[-1]) for name, curve in found["curves"].items()}
    print(f"{found['problems']} problems, {found['n'][-1]} candidates each, {failed} rows without scores")
    print(f"mean candidate: {right[CHANCE]} %, majority vote: {right[MAJORITY]} %, any right: {right[ORACLE]} %\n")
    print("| aggregate | solution AUROC | best of N, % (95%) |\n|---|---|---|")
    for name, auroc in found["solution_auroc"].items():
        print(f"| {name} | {auroc['value']:.3f} | {right[BEST + name]} |")


if __name__ == "__main__":
    main()
