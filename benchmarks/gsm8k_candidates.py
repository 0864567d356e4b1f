"""GSM8K's published model solutions as input for `stepscore rerank`.

Input (openai/grade-school-math, `example_model_solutions.jsonl`): one problem a line, with the solutions of four models
and whether each is right. Output: {"id", "problem", "candidates": [text], "correct": [bool], "generators": [name]} a
line. The calculator notes `<<2+3=5>>` inside the solutions are dropped, also one that was cut off at the end: no reader
of the solution sees them.

    python benchmarks/gsm8k_candidates.py model_solutions.jsonl candidates.jsonl
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GENERATORS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
_NOTE = re.compile(r"<<[^<>]*(?:>>|\Z)")


def convert_rows(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each row with its four candidates in the order of GENERATORS. Raises KeyError where a column is missing."""
    for number, row in enumerate(rows):
        solutions = [row[generator] for generator in GENERATORS]
        yield {
            "id": f"gsm8k-{number}",
            "problem": row["question"],
            "candidates": [_NOTE.sub("", solution["solution"]) for solution in solutions],
            "correct": [solution["is_correct"] for solution in solutions],
            "generators": list(GENERATORS),
        }


def convert(source: Path, target: Path) -> int:
    """Convert a whole file; returns how many problems it held."""
    count = 0
    with source.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8") as out:
        for row in convert_rows(json.loads(line) for line in lines if line.strip()):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("source", type=Path, help="model_solutions.jsonl")
    parser.add_argument("target", type=Path, help="where the JSONL for `stepscore rerank` goes")
    arguments = parser.parse_args()
    print(f"{convert(arguments.source, arguments.target)} problems: {arguments.target}")


if __name__ == "__main__":
    main()
