"""CHAMP's spans as ProcessBench's labels."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from champ_rows import installed_file, label_paragraphs, rows

TEXT = "First 1 + 1 = 2.\n\nThen 2 + 2 = 5.\nSo 5.\n \n\nThe answer is 5.\n"
STEPS = ["First 1 + 1 = 2.", "Then 2 + 2 = 5.\nSo 5.", "The answer is 5."]


@pytest.mark.parametrize(
    ("marked", "label"), [("First", 0), ("\n\nThen", 1), ("Then", 1), ("2 + 2", 1), ("So", 1), ("answer", 2)]
)
def test_the_label_is_the_paragraph_where_the_span_begins(marked: str, label: int) -> None:
    assert label_paragraphs(TEXT, TEXT.index(marked)) == (STEPS, label)


def test_a_solution_without_a_mistake() -> None:
    assert label_paragraphs(TEXT, None) == (STEPS, -1)


def test_rows_are_those_of_processbench() -> None:
    annotation = {"text": TEXT, "start_idx": 20, "end_idx": 30, "author": "GPT-4"}
    problem = {"_raw_text": "How @@many@@?", "fws_annotations": {"GPT-4|No C w/o H": annotation}}
    (row,) = rows({"P_1": problem})
    name = {"id": "P_1/GPT-4|No C w/o H", "generator": "GPT-4", "problem": "How many?"}
    assert row == name | {"steps": STEPS, "label": 1}


@pytest.mark.skipif(
    installed_file() is None, reason="champ-dataset is not installed (benchmarks/champ_rows.py says how)"
)
def test_the_published_data() -> None:
    source = installed_file()
    assert source is not None
    problems = json.loads(source.read_text(encoding="utf-8"))["problems"]
    found = list(rows(problems))
    assert (len(found), sum(row["label"] == -1 for row in found)) == (540, 96)
    annotations = [each for problem in problems.values() for each in problem["fws_annotations"].values()]
    for row, annotation in zip(found, annotations, strict=True):
        if row["label"] >= 0:
            marked = annotation["text"][annotation["start_idx"] : annotation["end_idx"]].split("\n\n")
            assert next(part.strip() for part in marked if part.strip()) in row["steps"][row["label"]]
