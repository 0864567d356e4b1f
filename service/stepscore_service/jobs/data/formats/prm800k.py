"""PRM800K's rows: `question.problem`, and per step several completions with ratings -1, 0, +1 by people.

The trajectory is the chosen completion of each step, or the one that a person wrote, which is sound. It continues to
the first step without either, whose completions are alternatives, as are those that were not chosen elsewhere. An
alternative is a solution of its own, in which only its last step is judged: the others are in the trajectory already.
TRL's conversion takes 0 for wrong, Qwen's takes it for sound (`ParseOptions.zero_is_good`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.formats.base import Format, ParseOptions
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.data.rows import RowModel, RowText, read_as
from stepscore_service.jobs.runs.source import JsonRow

Judged = tuple[str, float | None]


class Prm800kCompletion(RowModel):
    """One way to write a step, and what a person said of it."""

    text: RowText
    rating: Literal[-1, 0, 1] | None = None


class HumanCompletion(RowModel):
    """The step as a person wrote it."""

    text: RowText


class RatedStep(RowModel):
    completions: list[Prm800kCompletion] | None = None
    human_completion: HumanCompletion | RowText | None = None
    chosen_completion: int | None = None


class RatedSteps(RowModel):
    steps: list[RatedStep]


class Question(RowModel):
    problem: RowText


class Prm800kRow(RowModel):
    question: Question
    label: RatedSteps


def solutions(row: JsonRow, reading: ParseOptions) -> Iterator[Labelled]:
    found = read_as(Prm800kRow, row)
    problem, trajectory = found.question.problem, list[Judged]()
    for number, step in enumerate(found.label.steps):
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


def _chosen_and_others(step: RatedStep, number: int, reading: ParseOptions) -> tuple[Judged | None, list[Judged]]:
    completions = [_judge(each, reading) for each in step.completions or ()]
    place, human = step.chosen_completion, step.human_completion
    if place is not None and not 0 <= place < len(completions):
        raise InvalidInput(f"step {number}: chosen_completion {place} names none of {len(completions)}", field="label")
    others = [each for index, each in enumerate(completions) if index != place and each[1] is not None]
    if place is not None:
        return completions[place], others
    return (human if isinstance(human, str) else human.text, 1.0) if human else None, others


def _judge(completion: Prm800kCompletion, reading: ParseOptions) -> Judged:
    good = {None: None, -1: 0.0, 0: float(reading.zero_is_good), 1: 1.0}
    return completion.text, good[completion.rating]


FORMAT = Format("prm800k", ("question", "label"), "https://github.com/openai/prm800k", solutions)
