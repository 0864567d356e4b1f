"""How often real solutions come back as the steps that people annotated.

`python -m benchmarks.segmentation --data DIR`, where DIR holds processbench/*.json. A text is its steps joined by blank
lines; it comes back if splitting gives spans that hold exactly those steps.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stepscore.text.segment import split


def main() -> None:
    parser = argparse.ArgumentParser(description="Share of ProcessBench's solutions that come back as their own steps.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="auto")
    arguments = parser.parse_args()
    for path in sorted((arguments.data / "processbench").glob("*.json")):
        rows = json.loads(path.read_text())
        same = sum(comes_back(row["steps"], arguments.split) for row in rows)
        print(f"{path.stem}: {same} of {len(rows)} ({same / len(rows):.2%})")


def comes_back(steps: list[str], how: str = "auto") -> bool:
    steps = [step.strip() for step in steps]
    text = "\n\n".join(steps)
    return [text[step.start : step.end] for step in split(text, how)] == steps


if __name__ == "__main__":
    main()
