"""PRM800K's rows: `question.problem`, and per step several completions with ratings -1, 0, +1 by people.

The trajectory is the chosen completion of each step, or the one that a person wrote, which is sound. It goes on to
the first step without either, whose completions are alternatives, as are those that were not chosen elsewhere. An
alternative is a solution of its own, in which only its last step is judged: the others are in the trajectory already.
TRL's conversion takes 0 for wrong, Qwen's takes it for sound (`Reading.zero_is_good`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.formats.base import Format, Reading, Row, column
from stepscore_service.jobs.data.labelled import Labelled

Judged = tuple[str, float | None]


def solutions(row: Row, reading: Reading) -> Iterator[Labelled]:
    problem = column(column(row, "question", dict), "problem", str)
    trajectory: list[Judged] = []
    for number, step in enumerate(column(column(row, "label", dict), "steps", list)):
        chosen, others = _chosen_and_others(step, number, reading)
        prefix = tuple(text for text, _ in trajectory)
        for text, label in others:
            yield Labelled(Solution(problem, (*prefix, text)), (*(None,) * len(prefix), label))
        if chosen is None:
            break
        trajectory.append(chosen)
    if trajectory:
        texts, labels = zip(*trajectory, strict=True)
        yield Labelled(Solution(problem, texts), labels)


def _chosen_and_others(step: Any, number: int, reading: Reading) -> tuple[Judged | None, list[Judged]]:
    completions = [_judged(each, number, reading) for each in step.get("completions") or ()]
    place, human = step.get("chosen_completion"), step.get("human_completion")
    if place is not None and not 0 <= place < len(completions):
        raise InvalidInput(f"step {number}: chosen_completion {place} names none of {len(completions)}", field="label")
    others = [each for index, each in enumerate(completions) if index != place and each[1] is not None]
    if place is not None:
        return completions[place], others
    return (_text(human, number), 1.0) if human else None, others


def _judged(completion: Any, number: int, reading: Reading) -> Judged:
    rating = completion.get("rating")
    if rating not in (None, -1, 0, 1):
        raise InvalidInput(f"step {number}: rating {rating!r} is none of -1, 0, 1, null", field="label")
    good = {None: None, -1: 0.0, 0: float(reading.zero_is_good), 1: 1.0}
    return _text(completion, number), good[rating]


def _text(completion: Any, number: int) -> str:
    text = completion if isinstance(completion, str) else completion.get("text")
    if not isinstance(text, str):
        raise InvalidInput(f"step {number}: a completion has no text", field="label")
    return text


FORMAT = Format("prm800k", ("question", "label"), "https://github.com/openai/prm800k", solutions)
