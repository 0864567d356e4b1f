"""RLHFlow's conversations: every user message is a step, every assistant message its verdict, `+` or `-`.

The first user message is the problem, a space and the first step. Where the step begins is not marked: it is taken
to begin at "Step 1:" if it has one, else at the first capital letter after the problem's last question mark,
else after the first full stop. Rows with columns `problem` or `question` beside `conversations` say it themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.formats.base import Format, ParseOptions, column
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.runs.source import JsonRow

_VERDICTS = {"+": 1.0, "-": 0.0}
_BOUNDARIES = tuple(map(re.compile, (r"(?i)\s(?=step 1:)", r"(?<=[?])\s+(?!.*[?])", r"(?<=[.$\]])\s+(?=[A-Z])")))


def solutions(row: JsonRow, reading: ParseOptions) -> Iterator[Labelled]:
    turns: list[Any] = column(row, "conversations", list)
    if not turns or len(turns) % 2:
        raise InvalidInput(f"{len(turns)} messages; each step needs one of the user and one of the assistant")
    users = [_content(turn, "user") for turn in turns[::2]]
    labels = tuple(_verdict(_content(turn, "assistant"), step) for step, turn in enumerate(turns[1::2], start=1))
    problem, first = _split(users[0], row)
    yield Labelled(Solution(problem, (first, *users[1:])), labels)


def _content(turn: Any, role: str) -> str:
    if not isinstance(turn, dict) or turn.get("role") != role or not isinstance(turn.get("content"), str):
        raise InvalidInput(f"expected a message of the {role}, found {str(turn)[:60]!r}", field="conversations")
    return str(turn["content"])


def _verdict(text: str, step: int) -> float:
    if text.strip() not in _VERDICTS:
        raise InvalidInput(f"step {step} is answered {text[:20]!r}, neither + nor -", field="conversations")
    return _VERDICTS[text.strip()]


def _split(text: str, row: JsonRow) -> tuple[str, str]:
    for name in ("problem", "question"):
        given = row.get(name)
        if isinstance(given, str) and text.startswith(given) and text[len(given) :].strip():
            return given, text[len(given) :].strip()
    for boundary in _BOUNDARIES:
        found = boundary.search(text)
        if found and text[: found.start()].strip() and text[found.end() :].strip():
            return text[: found.start()].strip(), text[found.end() :].strip()
    raise InvalidInput("the first message has no place where the problem ends and the first step begins")


FORMAT = Format("rlhflow", ("conversations",), "https://huggingface.co/datasets/RLHFlow/Mistral-PRM-Data", solutions)
