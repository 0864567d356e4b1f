"""Math-Shepherd's rows: `input` with `ки` after each step, `label` the same text with `+` or `-` in its place.

The problem ends where "Step 1:" begins. Each `ки` is one sign in `label`, so that offsets agree once `ки` is one
character too. A few rows have a `ки` inside the problem, whose label is dropped, and some write `step 1:` or no
number at all; then the problem ends with its last question mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.formats.base import Format, ParseOptions, Row, column
from stepscore_service.jobs.data.labelled import Labelled

MARKER = "ки"
_ONE = "\x00"
_SIGNS = {"+": 1.0, "-": 0.0}
_FIRST_STEP = re.compile(r"\bstep 1:", re.IGNORECASE)


def solutions(row: Row, reading: ParseOptions) -> Iterator[Labelled]:
    text = column(row, "input", str).replace(MARKER, _ONE)
    signs: str = column(row, "label", str)
    start = _solution_start(text)
    steps: list[str] = []
    labels: list[float] = []
    begin = start
    for end in (place for place, character in enumerate(text) if character == _ONE and place >= start):
        steps.append(text[begin:end].strip())
        labels.append(_sign(signs, end, len(steps)))
        begin = end + 1
    if not steps:
        raise InvalidInput(f"no {MARKER!r} behind the problem, so there is no step", field="input")
    problem = text[:start].replace(_ONE, "").strip()
    yield Labelled(Solution(problem, tuple(steps)), tuple(labels), _outcome(steps[-1], labels[-1]))


def _solution_start(text: str) -> int:
    found = _FIRST_STEP.search(text)
    if found:
        return found.start()
    question = text.rfind("?", 0, text.find(_ONE) if _ONE in text else None)
    if question < 0:
        raise InvalidInput('neither "Step 1:" nor a question mark says where the solution begins', field="input")
    return question + 1


def _sign(signs: str, place: int, step: int) -> float:
    sign = signs[place] if place < len(signs) else "nothing"
    if sign not in _SIGNS:
        raise InvalidInput(f"step {step} has {sign!r} where + or - should stand (character {place})", field="label")
    return _SIGNS[sign]


def _outcome(last: str, label: float) -> bool | None:
    """The last step's sign is whether its own answer is right, where it states one."""
    return bool(label) if "answer is" in last.lower() else None


FORMAT = Format(
    "math_shepherd", ("input", "label"), "https://huggingface.co/datasets/peiyi9979/Math-Shepherd", solutions
)
