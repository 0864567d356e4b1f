"""Labelled answers of real models as rows for `stepscore verify-check`.

python -m benchmarks.verifier_sample DATA OUT.jsonl --count 200     a random sample, seed 0; without --count all rows
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stepscore.verify.answers import final_answer

OUTCOMES = ("outcomes/faithfulcot_mwp.jsonl", "outcomes/zeroeval_math_l5.jsonl")
GSM8K = "gsm8k/model_solutions.jsonl"


def labelled_rows(data: Path) -> Iterator[dict[str, Any]]:
    for name in OUTCOMES:
        for row in _rows(data / name):
            for each in row["solutions"]:
                yield {"solution": each["text"], "answer": str(row["answer"]), "correct": each["correct"]}
    for row in _rows(data / GSM8K):
        for each in row.values():
            if isinstance(each, dict):
                answer = final_answer(row["ground_truth"])
                yield {"solution": each["solution"], "answer": answer, "correct": each["is_correct"]}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    rows = list(labelled_rows(options.data))
    chosen = random.Random(0).sample(rows, options.count) if options.count else rows
    options.out.write_text("".join(json.dumps(row) + "\n" for row in chosen), encoding="utf-8")


if __name__ == "__main__":
    main()
