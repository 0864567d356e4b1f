"""CHAMP's annotated solutions in ProcessBench's form, for `stepscore evaluate --processbench`.

CHAMP (arXiv 2401.06961; MIT) is 270 competition problems. For 540 solutions by GPT-3.5, GPT-4, GPT-4 Turbo and PaLM 2
people marked the span of the first wrong step, or that there is none. Here a step is a paragraph, as the models wrote
it, and the label is the paragraph in which the span begins. The data stay in their package:

    pip install --no-deps champ-dataset==1.0.0
    python benchmarks/champ_rows.py champ.jsonl
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

PACKAGE, FILE = "champ_dataset", "dataset_files/v0.json"
_BLANK = re.compile(r"\n[ \t]*\n\s*")

Row = dict[str, Any]


def installed_file() -> Path | None:
    """The data in the installed package, which is not imported: it wants packages that only its tools need."""
    spec = find_spec(PACKAGE)
    return Path(spec.origin).parent / FILE if spec and spec.origin else None


def rows(problems: Mapping[str, Any]) -> Iterator[Row]:
    """One a solution. problems: of v0.json. Raises KeyError where a column is missing."""
    for name, problem in problems.items():
        for writer, annotation in problem["fws_annotations"].items():
            steps, label = label_paragraphs(annotation["text"], annotation["start_idx"])
            yield {
                "id": f"{name}/{writer}",
                "generator": annotation["author"],
                "problem": problem["_raw_text"].replace("@@", ""),
                "steps": steps,
                "label": label,
            }


def label_paragraphs(text: str, wrong_from: int | None) -> tuple[list[str], int]:
    """The paragraphs, and the one in which the wrong step begins; -1 where none does.

    wrong_from: the character where the span begins in the text; white space before the step may belong to it.
    """
    borders = [0, *(blank.end() for blank in _BLANK.finditer(text)), len(text)]
    spans = [(start, end) for start, end in pairwise(borders) if text[start:end].strip()]
    steps = [text[start:end].strip() for start, end in spans]
    if wrong_from is None:
        return steps, -1
    begins = wrong_from + len(text[wrong_from:]) - len(text[wrong_from:].lstrip())
    return steps, next(index for index, (_, end) in enumerate(spans) if begins < end)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("target", type=Path, help="where the JSONL goes")
    parser.add_argument(
        "--source", type=Path, default=installed_file(), help="v0.json; by default the installed package's"
    )
    arguments = parser.parse_args()
    if arguments.source is None:
        parser.error("champ-dataset is not installed: pip install --no-deps champ-dataset==1.0.0, or give --source")
    problems = json.loads(arguments.source.read_text(encoding="utf-8"))["problems"]
    written = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(problems)]
    arguments.target.write_text("".join(written), encoding="utf-8")
    print(f"{len(written)} solutions: {arguments.target}")


if __name__ == "__main__":
    main()
