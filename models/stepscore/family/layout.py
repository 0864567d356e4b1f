"""Layouts: a solution written as token ids, with the positions to read noted while it is written.

Nothing ever searches ids for a separator: `SequenceBuilder` knows where it put each one. The same layout object
serves scoring and training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stepscore.errors import EmptyStep, InvalidText, MarkerInText, MarkerMerged, NoProblem, NoSteps
from stepscore.text.chat import lost_text, render_chat
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Encoded, EncodedSolution, Solution


class Layout(Protocol):
    """Writes solutions in one family's convention."""

    def encode(self, solution: Solution) -> EncodedSolution:
        """Raises InvalidInput for a solution that the family cannot express."""
        ...


class SequenceBuilder:
    """Writes one token sequence.

    Consecutive plain stretches (user text and template text without special tokens) are encoded together, as the
    checkpoint's own tokenizer does with the whole string; `piece` encodes a text for itself.
    """

    def __init__(self, tokenizer: StepTokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._reads: list[int] = []
        self._text = ""
        self._pending: list[tuple[int, int | None]] = []
        self._opening = True

    def bos(self) -> SequenceBuilder:
        """The ids that the tokenizer itself puts in front; unlike a token, they leave the next text the opening one.

        (Metaspace puts its sign before the text that opens a sequence, whether or not a BOS is added to it later.)
        """
        self._ids.extend(self._tokenizer.bos)
        return self

    def text(self, text: str) -> SequenceBuilder:
        """User text or plain template text: special tokens in it are text."""
        self._text += text
        return self

    def template(self, template: str) -> SequenceBuilder:
        """Template text: its special tokens are tokens."""
        for part, token in self._tokenizer.parts(template):
            if token is None:
                self.text(part)
            else:
                self.token(token)
        return self

    def token(self, *ids: int) -> SequenceBuilder:
        self._flush()
        self._ids.extend(ids)
        self._opening = False
        return self

    def piece(self, text: str) -> SequenceBuilder:
        """A text encoded for itself, merging with nothing before or after it."""
        self._flush()
        self._ids.extend(self._tokenizer.ids(text))
        self._opening = False
        return self

    def read(self, expect: int | None = None) -> SequenceBuilder:
        """Read at the token that holds the last character (or token) written so far.

        expect: the id that must be there; another one means that the tokenizer merged the marker with its
        neighbour, and `build` raises MarkerMerged.
        """
        if self._text:
            self._pending.append((len(self._text), expect))
        else:
            self._reads.append(len(self._ids) - 1)
        return self

    def build(self) -> Encoded:
        self._flush()
        return Encoded(tuple(self._ids), tuple(self._reads))

    def _flush(self) -> None:
        if not self._text:
            return
        if self._pending:
            self._flush_read()
        else:
            self._ids.extend(self._tokenizer.ids(self._text, first=self._opening))
        self._text, self._pending, self._opening = "", [], False

    def _flush_read(self) -> None:
        ids, ends = self._tokenizer.encode(self._text, first=self._opening)
        token = 0
        for character, expect in self._pending:
            while ends[token] < character or (token + 1 < len(ends) and ends[token + 1] == ends[token]):
                token += 1
            self._note(token, ids[token], ends[token] == character, expect)
        self._ids.extend(ids)

    def _note(self, token: int, found: int, ends_here: bool, expect: int | None) -> None:
        if expect is not None and (found != expect or not ends_here):
            raise MarkerMerged(
                "the tokenizer merged a step's end with the marker; change the white space at the end of the step",
                step=len(self._reads),
                token=found,
            )
        self._reads.append(len(self._ids) + token)


class TracedBuilder(SequenceBuilder):
    """Also notes which characters of the plain text each token holds.

    spans: for each id, [start, end) in all plain text written so far, user text and template text counted together;
    None for a token that is not text. user_texts: each user text with the character at which it starts.
    """

    def __init__(self, tokenizer: StepTokenizer) -> None:
        super().__init__(tokenizer)
        self.spans: list[tuple[int, int] | None] = []
        self.user_texts: list[tuple[int, str]] = []
        self._flushed = 0
        self._templating = False

    def text(self, text: str) -> TracedBuilder:
        if not self._templating:
            self.user_texts.append((self._flushed + len(self._text), text))
        super().text(text)
        return self

    def template(self, template: str) -> TracedBuilder:
        self._templating = True
        super().template(template)
        self._templating = False
        return self

    def _flush(self) -> None:
        self.spans.extend([None] * (len(self._ids) - len(self.spans)))
        if self._text:
            _, ends = self._tokenizer.encode(self._text, first=self._opening)
            self.spans.extend((self._flushed + start, self._flushed + end) for start, end in _ranges(ends))
            self._flushed += len(self._text)
        super()._flush()

    def build(self) -> Encoded:
        built = super().build()
        self.spans.extend([None] * (len(self._ids) - len(self.spans)))
        return built


def _ranges(ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Tokens that share the bytes of one character all hold that character."""
    start = end = 0
    for each in ends:
        if each > end:
            start, end = end, each
        yield start, end


def check(solution: Solution, plain_marker: str | None = None) -> None:
    """The checks that every layout makes first.

    plain_marker: a marker that is ordinary text to the tokenizer, so that typing it would be read as a step's end.
    Raises NoProblem, NoSteps, EmptyStep, InvalidText, MarkerInText.
    """
    if not solution.problem.strip():
        raise NoProblem("the problem is empty; send the text that the solution solves")
    if not solution.steps:
        raise NoSteps("a solution needs at least one step")
    for step, text in enumerate(solution.steps):
        if not text.strip():
            raise EmptyStep(f"step {step} is empty; leave it out or write it", step=step)
    texts = {"problem": solution.problem} | {f"step {step}": text for step, text in enumerate(solution.steps)}
    for where, text in texts.items():
        _check_text(text, where, plain_marker)


def _check_text(text: str, where: str, plain_marker: str | None) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidText(f"{where} holds a lone surrogate at character {error.start}", where=where) from error
    if plain_marker is not None and plain_marker in text:
        raise MarkerInText(
            f"{where} contains {plain_marker!r}, which this model reads as a step's end; remove it",
            marker=plain_marker,
            where=where,
        )


@dataclass(frozen=True, slots=True)
class Text:
    """User text inside a chat message."""

    text: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A token inside a chat message at which the family reads."""

    token: int


@dataclass(frozen=True, slots=True)
class Place:
    """A place inside a chat message: the family reads at the token written just before it."""


LayoutPart = Text | Marker | Place | str
"""What a chat message is made of: user text, a marker, a place, or template text as `str`."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message: a role and its parts."""

    role: str
    parts: tuple[LayoutPart, ...]


_LINES, _EDGE = "\n" * 7, "\u2003"
_SLOT = f"{_LINES}{_EDGE}\ue000{{}}\ue001{_EDGE}{_LINES}"
_SLOTS = re.compile(f"((?:{_LINES})?{_EDGE})?\ue000(\\d+)\ue001({_EDGE}(?:{_LINES})?)?")
"""The place of a message's text, between white space that no template writes itself: what is left of it shows what
the template strips."""
_PROBE = ' \n Text {}: 3 + 4 = 7.\n\nSo \\(x\\) is {{7}} "é".\n \n'


class ChatTemplate:
    """The checkpoint's own chat template, rendered around slots so that user text never meets its special tokens.

    A template that trims its messages (Llama 3.1 trims all white space, Qwen3 the line breaks before an answer) trims
    ours alike.
    """

    def __init__(self, tokenizer: StepTokenizer) -> None:
        self._tokenizer = tokenizer
        self._frames: dict[tuple[tuple[str, ...], bool], str] = {}

    def write(self, builder: SequenceBuilder, messages: Sequence[Message], *, generation_prompt: bool = False) -> None:
        """Write the rendered conversation; every Marker and Place is read. Raises CheckpointError as `frame` does."""
        roles = tuple(message.role for message in messages)
        self.fill(builder, self.frame(roles, generation_prompt=generation_prompt), messages)

    def fill(self, builder: SequenceBuilder, frame: str, messages: Sequence[Message]) -> None:
        """Write a frame with the messages in its slots; the frame may have been cut at either end."""
        position = 0
        for slot in _SLOTS.finditer(frame):
            builder.template(frame[position : slot.start()])
            _write_parts(builder, messages[int(slot[2])].parts, _strip_characters(slot[1]), _strip_characters(slot[3]))
            position = slot.end()
        builder.template(frame[position:])

    def frame(self, roles: tuple[str, ...], *, generation_prompt: bool = False) -> str:
        """The template rendered for messages of these roles, a slot in the place of each message's text.

        Raises CheckpointError if the template fails on them, or does not write each text once and unchanged.
        """
        key = (roles, generation_prompt)
        if key not in self._frames:
            self._frames[key] = self._checked_frame(roles, generation_prompt)
        return self._frames[key]

    def _checked_frame(self, roles: tuple[str, ...], generation_prompt: bool) -> str:
        frame = self._render(roles, _SLOT, generation_prompt)
        found = sorted(int(slot[2]) for slot in _SLOTS.finditer(frame))
        probed = _SLOTS.sub(lambda slot: _trim(_PROBE.format(slot[2]), slot), frame)
        if found != list(range(len(roles))) or probed != self._render(roles, _PROBE, generation_prompt):
            raise lost_text(_PROBE, roles)
        return frame

    def _render(self, roles: tuple[str, ...], text: str, generation_prompt: bool) -> str:
        messages = [{"role": role, "content": text.format(place)} for place, role in enumerate(roles)]
        return render_chat(self._tokenizer.inner, messages, generation_prompt=generation_prompt)


def _strip_characters(edge: str | None) -> str | None:
    """What a template strips on the side of a slot where this is left, as `str.strip` takes it: None for any space."""
    if not edge:
        return None
    return "" if _LINES in edge else "\n"


def _trim(text: str, slot: re.Match[str]) -> str:
    return text.lstrip(_strip_characters(slot[1])).rstrip(_strip_characters(slot[3]))


def _write_parts(builder: SequenceBuilder, parts: Sequence[LayoutPart], left: str | None, right: str | None) -> None:
    """left, right: what is stripped at the message's two ends, as `str.strip` takes it."""
    written = [index for index, part in enumerate(parts) if not isinstance(part, Place)]
    first, last = written[0], written[-1]
    for index, part in enumerate(parts):
        if isinstance(part, Marker):
            builder.token(part.token).read()
        elif isinstance(part, Place):
            builder.read()
        elif isinstance(part, str):
            builder.template(part)
        else:
            text = part.text.lstrip(left) if index == first else part.text
            builder.text(text.rstrip(right) if index == last else text)


@dataclass(frozen=True, slots=True)
class LayoutContext:
    """What a family may look at when it builds its parts.

    config: the checkpoint's config.json. options: the user's, settled. tensors: the names in the weights.
    """

    tokenizer: StepTokenizer
    config: Mapping[str, object]
    options: Mapping[str, str]
    tensors: frozenset[str] = frozenset()
