"""Math-Shepherd's rows: `input` with `ки` after each step, `label` the same text with `+` or `-` in its place.

The problem ends where the "Step 1:" of the first step begins; a row in which several may be that one is an error. Each
`ки` is one sign in `label`, so that offsets agree once `ки` is one character too. A few rows have a `ки` inside the
problem, whose label is dropped, and some write `step 1:` or no number at all; then the problem ends with its last
question mark. Text after the last `ки` is a step without a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.formats.base import Format, ParseOptions, column
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.runs.source import JsonRow

MARKER = "ки"
_ONE = "\x00"
_SIGNS = {"+": 1.0, "-": 0.0}
_FIRST_STEP = re.compile(r"\bstep 1:", re.IGNORECASE)
_STEP = re.compile(r"step (\d+):", re.IGNORECASE)
_SENTENCE_ENDS = re.compile(r"[.?!:…。？！][\"'”’)\]$]*\s+$|\n\s*$")


def solutions(row: JsonRow, reading: ParseOptions) -> Iterator[Labelled]:
    text = column(row, "input", str).replace(MARKER, _ONE)
    signs: str = column(row, "label", str)
    start = _solution_start(text)
    steps: list[str] = []
    labels: list[float | None] = []
    begin = start
    for end in (place for place, character in enumerate(text) if character == _ONE and place >= start):
        steps.append(text[begin:end].strip())
        labels.append(_sign(signs, end, len(steps)))
        begin = end + 1
    if steps and text[begin:].strip():
        steps.append(text[begin:].strip())
        labels.append(None)
    if not steps:
        raise InvalidInput(f"no {MARKER!r} after the problem, so there is no step", field="input")
    _check_restart(steps)
    problem = text[:start].replace(_ONE, "").strip()
    yield Labelled(Solution(problem, tuple(steps)), tuple(labels), _outcome(steps[-1], labels[-1]))


def _solution_start(text: str) -> int:
    found = _FIRST_STEP.search(text)
    if found:
        return _first_step(text, found.start())
    question = text.rfind("?", 0, text.find(_ONE) if _ONE in text else None)
    if question < 0:
        raise InvalidInput('neither "Step 1:" nor a question mark says where the solution begins', field="input")
    return question + 1


def _first_step(text: str, found: int) -> int:
    """Where the first step begins, given the first "Step 1:": at the last one before a marker.

    If there are several, only the last may open a sentence. Raises InvalidInput if others may be it.
    """
    marker = text.find(_ONE, found)
    places = [each.start() for each in _FIRST_STEP.finditer(text, found, len(text) if marker < 0 else marker)]
    opening = [place for place in places if place == 0 or _SENTENCE_ENDS.search(text[:place])]
    if len(places) > 1 and opening != places[-1:]:
        raise InvalidInput(
            f'"Step 1:" occurs {len(places)} times before the first step ends, so that the problem may end at each of '
            "them; leave one",
            field="input",
        )
    return places[-1]


def _check_restart(steps: Sequence[str]) -> None:
    """Raises InvalidInput for a later step that may be the first, after a marker inside the problem."""
    for step, text in enumerate(steps[1:], start=1):
        numbered = _STEP.match(text)
        if (int(numbered[1]) == 1) if numbered else _FIRST_STEP.search(text):
            raise InvalidInput(f'step {step} has "Step 1:" again, so that the problem may end there', field="input")


def _sign(signs: str, place: int, step: int) -> float:
    sign = signs[place] if place < len(signs) else "nothing"
    if sign not in _SIGNS:
        raise InvalidInput(f"step {step} has {sign!r} where + or - should be (character {place})", field="label")
    return _SIGNS[sign]


def _outcome(last: str, label: float | None) -> bool | None:
    """The last step's sign is whether its own answer is right, if it has one and states an answer."""
    return bool(label) if label is not None and "answer is" in last.lower() else None


FORMAT = Format(
    "math_shepherd", ("input", "label"), "https://huggingface.co/datasets/peiyi9979/Math-Shepherd", solutions
)
