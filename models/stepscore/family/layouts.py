"""Layouts that more than one family writes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stepscore.errors import InvalidOption
from stepscore.family.layout import (
    ChatTemplate,
    LayoutContext,
    Marker,
    Message,
    Place,
    SequenceBuilder,
    Text,
    check,
)
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, Solution


def system_message(system: str) -> list[Message]:
    """The system message, or none, which leaves it to the chat template."""
    return [Message("system", (system,))] if system else []


def template_ids(tokenizer: StepTokenizer, text: str) -> tuple[int, ...]:
    """Template text for itself, its added tokens as tokens."""
    parts = tokenizer.parts(text)
    return tuple(i for part, token in parts for i in ([token] if token is not None else tokenizer.ids(part)))


def separator_of(context: LayoutContext) -> str:
    """The option `separator`, at which steps are read. Raises InvalidOption if the tokenizer writes nothing for it."""
    separator = context.options["separator"]
    if not template_ids(context.tokenizer, separator):
        raise InvalidOption(
            f"the tokenizer has no token for separator={separator!r}, and a step is read at the token after it",
            option="separator",
            known=[],
        )
    return separator


@dataclass(frozen=True, slots=True)
class MarkedChat:
    """One chat: system message, problem, then every step followed by the marker. Reads at each marker."""

    tokenizer: StepTokenizer
    template: ChatTemplate
    marker: int
    system: str

    @classmethod
    def of(cls, context: LayoutContext, marker: str, system: str) -> MarkedChat:
        """Raises CheckpointError if the tokenizer has no such marker."""
        tokenizer = context.tokenizer
        return cls(tokenizer, ChatTemplate(tokenizer), tokenizer.token_id(marker), system)

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        builder = SequenceBuilder(self.tokenizer)
        self.template.write(builder, self._messages(solution))
        return EncodedSolution((builder.build(),), steps=len(solution.steps))

    def _messages(self, solution: Solution) -> list[Message]:
        steps = tuple(part for step in solution.steps for part in (Text(step), Marker(self.marker)))
        problem = Message("user", (Text(solution.problem),))
        return [*system_message(self.system), problem, Message("assistant", steps)]


@dataclass(frozen=True, slots=True)
class SeparatedSteps:
    """bos + ids(problem) + ids(step) + separator + ..., each encoded alone; reads the separator's last id.

    separator: its ids. bos: the ids in front, if any.
    """

    tokenizer: StepTokenizer
    separator: tuple[int, ...]
    bos: tuple[int, ...] = ()

    @classmethod
    def of(cls, context: LayoutContext, bos: tuple[int, ...] = ()) -> SeparatedSteps:
        """With the option `separator`, a token if it is an added one. Raises InvalidOption."""
        return cls(context.tokenizer, template_ids(context.tokenizer, separator_of(context)), bos)

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        builder = SequenceBuilder(self.tokenizer).token(*self.bos).piece(solution.problem)
        for step in solution.steps:
            builder.piece(step).token(*self.separator).read()
        return EncodedSolution((builder.build(),), steps=len(solution.steps))


@dataclass(frozen=True, slots=True)
class AnsweredTurns:
    """One chat of many turns: each step is a user message, answered by a fixed word. Reads just before each answer.

    The answers are always the good one, so that the reading before the k-th is what a run turn by turn gives.
    opening: how the first user message is made, with the fields {problem} and {step}.
    strip: whether white space around a step is dropped. target: the id whose log-probability is read, if one is.
    """

    tokenizer: StepTokenizer
    template: ChatTemplate
    opening: str
    answer: str
    strip: bool = False
    target: int | None = None

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        first, *rest = (step.strip() if self.strip else step for step in solution.steps)
        turns = [self.opening.format(problem=solution.problem, step=first), *rest]
        builder = SequenceBuilder(self.tokenizer)
        self.template.write(builder, [message for turn in turns for message in self._turn(turn)])
        written = builder.build()
        targets = () if self.target is None else (self.target,) * len(turns)
        return EncodedSolution((replace(written, targets=targets),), steps=len(turns))

    def _turn(self, text: str) -> tuple[Message, Message]:
        return Message("user", (Text(text),)), Message("assistant", (Place(), self.answer))
