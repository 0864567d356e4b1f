"""What the load on the live service asks for: solutions of real models, or sums where there is no data."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

GSM8K = Path(__file__).parents[2] / "shared" / "data" / "gsm8k" / "model_solutions.jsonl"

Request = dict[str, Any]


def origin() -> str:
    return "GSM8K model solutions" if GSM8K.is_file() else "made-up sums"


def workload(candidates: int, seed: int) -> list[Request]:
    """GSM8K problems with the solutions of real models, each solution once; made-up sums where that file is absent."""
    items = _gsm8k() if GSM8K.is_file() else _sums(2640)
    groups = [each[at : at + candidates] for each in items for at in range(0, len(each), candidates)]
    random.Random(seed).shuffle(groups)
    return [{"items": group} for group in groups]


def _gsm8k() -> list[list[Request]]:
    rows = [json.loads(line) for line in GSM8K.read_text().splitlines()]
    models = [[each for each in row.values() if isinstance(each, dict)] for row in rows]
    return [
        [_item(row["question"], each["solution"]) for each in found] for row, found in zip(rows, models, strict=True)
    ]


def _sums(count: int) -> list[list[Request]]:
    return [[_item(f"What is {n} + {n + 1}?", f"{n} + {n} = {2 * n}\nSo it is {2 * n + 1}.")] for n in range(count)]


def _item(problem: str, solution: str) -> Request:
    """A solution in lines, without GSM8K's calculator notes."""
    return {"problem": problem, "solution": re.sub(r"<<.*?>>", "", solution), "split": "lines"}
