r"""Final answers: where a solution states its answer.

Readers in order of trust: an answer tag, the last box, an explicit statement, GSM8K's mark, and at last a guess from
the last line that holds a number or formula. Text after `</think>` is read before the thinking, which is read only if
nothing after it holds an answer. The last answer of a kind counts, and a value that is stated after the last box makes
the box a part of the working. A text that ends inside a box, a tag or a statement was cut off and has no answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from stepscore.verify.guess import guess_answer
from stepscore.verify.statements import ends_open, read_statement
from stepscore.verify.wording import LINE, Said, is_placeholder, said_in, take_option

ReaderName = Literal["tag", "box", "statement", "gsm8k", "guess"]

_THINKING = re.compile(r"</think(?:ing)?>|</thought>|\[/THINK\]|<\|end_of_thought\|>|◁/think▷")
_OPEN_THINKING = re.compile(r"<think(?:ing)?>|<thought>|\[THINK\]|<\|begin_of_thought\|>|◁think▷")
_SPECIAL = re.compile(r"(?:<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|</s>|<eos>|<pad>|<end_of_turn>|\[EOS\])\Z")
"""A special token at the end of a text."""
_LONGEST_SPECIAL = 44
_TURN_ENDS = re.compile(r"<\|(?:im_end|eot_id|eom_id|endoftext|end)\|>|</s>|<end_of_turn>|<｜end▁of▁sentence｜>")
_TURN_BEGINS = re.compile(r"<\|(?:im_start|start_header_id|user|system)\|>|<start_of_turn>|\[INST\]|<｜User｜>")
_TAG = re.compile(r"<(?P<close>/?)(?:final_)?answer>", re.IGNORECASE)
_STARTS = re.compile(r"(?:^|\n|>)[\s*_`]*\Z")
"""Before a tag that opens an answer; one in the middle of a sentence is only mentioned."""
_HASHES = re.compile(r"^[^\S\n]*####[^\S\n]*(?P<said>(?:[-+−–$€£\\(.]|\d)[^\n]*)$", re.MULTILINE)
_ENUMERATED = re.compile(r"\d{1,3}[.):][ ]*[^\W\d]")
_SENTENCE_WORDS = 5
# "\x08oxed" and "\\\\boxed" are boxes too: what is left of `\boxed` if a program reads it as an escape, or escapes it.
_BRACES = re.compile(
    r"(?:\\+(?:boxed|fbox|framebox|box|Box)|\x08(?:oxed|ox)|(?<![a-zA-Z\\])boxed)\s*(?P<box>\{)"
    r"|\\+boxed\s*(?P<bare>\d[^\s{}]*|[A-J](?![a-zA-Z])|\\[a-zA-Z]+(?:\{[^{}]*\})*)|\\.|(?P<open>\{)|(?P<close>\})",
    re.DOTALL,
)
_BETWEEN_BOXES = re.compile(
    r"(?:[\s$]|\\[()\[\],;! ]|\\q?quad|\\text\s*\{\s*(?:,?\s*and|or|,)\s*\}|[,;]|\band\b|\bor\b|[a-zA-Z](?:_\w)?\s*=|[和或、])*"  # noqa: E501
)
_JOINS = re.compile(r"[,;、和或]|\band\b|\bor\b")
_NEXT_BOX = 40
_NEXT_QUESTION = re.compile(r"(?<=[^\s])[^\S\n]*\n\s*(?:Question|Q|Problem|Human|User|问题|题目)[ ]?[:：]")
_IN_WORDS = re.compile(r"\\text(?:bf|rm|it)?\s*\{([^{}]*)\}")
_ANNOUNCES = re.compile(
    r"(?:(?:so|thus|therefore|hence),?\s+)?(?:(?:the|my|our)\s+)?(?:final\s+|correct\s+)?answer\b", re.IGNORECASE
)
_TALKS = re.compile(r"(?:there (?:is|are)|we (?:get|have)|it is|this is)\s|.*\b(?:because|since)\b", re.IGNORECASE)
_PERCENT = re.compile(r"\s*\$?\s*\\?%")


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """text: the answer as it is written; of a multiple-choice answer the letter alone.

    reader: what found it. option: what is written beside the letter of a multiple-choice answer, "" without.
    """

    text: str
    reader: ReaderName
    option: str = ""

    @property
    def is_guess(self) -> bool:
        return self.reader == "guess"


def final_answer(text: str) -> str | None:
    """The final answer alone; None if the text holds none."""
    found = read_answer(text)
    return None if found is None else found.text


def read_answer(text: str) -> FinalAnswer | None:
    """The final answer and its reader; None if nothing is stated and no line holds a number or formula, or if the
    text was cut off inside its answer.
    """
    after, thinking = _parts(_without_special(_first_turn(text)))
    try:
        return _read(_of_first_question(after)) or (_read(thinking) if thinking else None)
    except _CutOff:
        return None


def _without_special(text: str) -> str:
    """Without the special tokens that a policy ends its text with."""
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        token = _SPECIAL.search(text, max(0, end - _LONGEST_SPECIAL), end)
        if not token:
            return text[:end]
        end = token.start()


def known_answer(truth: str) -> str:
    """The known answer that a data set gives: as it is, or the end of a worked solution (`#### x`, `\\boxed{x}`)."""
    lines = re.findall(r"^[^\S\n]*####[^\S\n]*(\S[^\n]*)$", truth, re.MULTILINE)
    if lines:
        return str(lines[-1]).strip()
    try:
        boxed = _read_box(truth)
    except _CutOff:
        boxed = None
    return boxed.text if boxed and boxed.text else truth.strip()


def _first_turn(text: str) -> str:
    """The text before a token that ends a turn, if it is not itself a dialogue."""
    end = _TURN_ENDS.search(text)
    if not end or not text[: end.start()].strip() or _TURN_BEGINS.search(text, 0, end.start()):
        return text
    return text[: end.start()]


class _CutOff(Exception):
    """The text ends inside its answer."""


def _of_first_question(text: str) -> str:
    """The text without further questions that a model asks itself after it has stated its answer."""
    asked = _NEXT_QUESTION.search(text)
    if not asked:
        return text
    before = text[: asked.start()]
    try:
        found = _read(before)
    except _CutOff:
        return text
    return before if found and not found.is_guess else text


def _parts(text: str) -> tuple[str, str]:
    """The text outside the thinking, and the thinking. An open end belongs to the thinking."""
    closings = list(_THINKING.finditer(text))
    if closings:
        return text[closings[-1].end() :], text[: closings[-1].start()]
    opening = _OPEN_THINKING.search(text)
    return (text[: opening.start()], text[opening.end() :]) if opening else (text, "")


def _read(text: str) -> FinalAnswer | None:
    for name, reader in READERS:
        said = reader(text)
        if said and said.text:
            later = _read_after_boxes(text) if name == "box" else None
            if later and later.text != said.text:
                return FinalAnswer(later.text, "statement", later.option)
            return FinalAnswer(said.text, name, said.option)
    return None


def _read_after_boxes(text: str) -> Said | None:
    """The value that is stated after the last box, which then belongs to the working."""
    end = max(box.end for box in _boxes(text) if box.text is None or not is_placeholder(box.text))
    return read_statement(text[end:], directly=True)


def _read_tag(text: str) -> Said | None:
    """What the last answer tag holds: the box or statement in it, else all of it. Raises _CutOff if it is open."""
    opened, content = None, ""
    for tag in _TAG.finditer(text):
        if not tag["close"]:
            opened = tag
        elif opened is not None:
            inside, opened = text[opened.end() : tag.start()].strip(), None
            content = content if is_placeholder(inside) else inside
    if opened is not None and _STARTS.search(text, 0, opened.start()):
        raise _CutOff
    if not content:
        return None
    return (
        _read_box(content)
        or read_statement(content)
        or (said_in(content) if LINE.fullmatch(content) else guess_answer(content))
    )


def _read_box(text: str) -> Said | None:
    """The last box, with those before it in one list. Raises _CutOff if the last one is open."""
    boxes = [box for box in _boxes(text) if box.text is None or not is_placeholder(box.text)]
    if not boxes:
        return None
    if boxes[-1].text is None:
        raise _CutOff
    percent = _PERCENT.match(text, boxes[-1].end)
    row = list(_last_row(text, boxes))[::-1]
    joined = ", ".join(dict.fromkeys(row))
    said = _read_within_box(joined) or take_option(joined)
    return replace(said, text=rf"{said.text}\%") if percent and said.text else said


def _read_within_box(box: str) -> Said | None:
    r"""The answer that a box states in words, `\text{The answer is } 5`; None if it holds the answer alone."""
    plain = _IN_WORDS.sub(r"\1", box) if "\\text" in box else box
    if plain is not box and _TALKS.match(plain.strip()):
        return said_in(plain)
    return read_statement(plain.strip()) if _ANNOUNCES.match(plain.strip()) else None


def _last_row(text: str, boxes: list[_Box]) -> Iterator[str]:
    """The last box and, going back, each that is joined to it by no more than a comma, "and" or "or"."""
    start = boxes[-1].start
    yield boxes[-1].text or ""
    for box in boxes[-2::-1]:
        between = text[box.end : start]
        if box.text is None or not 0 < len(between) < _NEXT_BOX or not _BETWEEN_BOXES.fullmatch(between):
            return
        if not _JOINS.search(between):
            return
        yield box.text
        start = box.start


@dataclass(frozen=True, slots=True)
class _Box:
    """text: None for a box that is never closed. start, end: of all of it."""

    start: int
    end: int
    text: str | None


def _boxes(text: str) -> Iterator[_Box]:
    """Boxes in the order of their opening; of nested ones the inner comes last."""
    opened: list[tuple[int, int] | None] = []
    found: list[_Box] = []
    for token in _BRACES.finditer(text):
        if token["box"]:
            opened.append((token.start(), token.end()))
        elif token["open"]:
            opened.append(None)
        elif token["bare"]:
            content = token["bare"].strip(" \t\n$.,")
            found.append(_Box(token.start(), token.end(), content))
        elif token["close"] and opened:
            start = opened.pop()
            if start is not None:
                found.append(_Box(start[0], token.end(), text[start[1] : token.start()].strip()))
    found += [_Box(start[0], len(text), None) for start in opened if start is not None]
    return iter(sorted(found, key=lambda box: box.start))


def _read_mark(text: str) -> Said | None:
    """The number after GSM8K's mark. A numbered heading (`#### 2. Double it`) and a sentence are not answers."""
    found = [match["said"].strip() for match in _HASHES.finditer(text)]
    answers = [said for said in found if not _ENUMERATED.match(said) and len(said.split()) <= _SENTENCE_WORDS]
    return said_in(answers[-1]) if answers else None


def _read_statement(text: str) -> Said | None:
    """Raises _CutOff if the text ends before the answer that was to follow."""
    if ends_open(text):
        raise _CutOff
    return read_statement(text)


READERS: tuple[tuple[ReaderName, Callable[[str], Said | None]], ...] = (
    ("tag", _read_tag),
    ("box", _read_box),
    ("statement", _read_statement),
    ("gsm8k", _read_mark),
    ("guess", guess_answer),
)
"""In order of trust: the first that finds an answer is believed."""

TRUST: tuple[ReaderName, ...] = tuple(name for name, _ in READERS)
