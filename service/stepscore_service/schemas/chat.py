"""Chats as trainers send them: lists of messages, or one text in the policy's own chat template.

A response is cut out by its place, never by searching it: what a policy writes into it, markers included, stays text.
If a trainer sends prompt and response as one text, the last turn of a user decides where the response begins.
A turn of the assistant's in which nothing is written yet, at the end, is an invitation to write and not a response.
A prompt in a template that is not known is an error: its markers are never scored as if they were the problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from stepscore_service.errors import InvalidChat

ChatTemplateName = Literal["auto", "chatml", "llama3", "mistral", "gemma", "deepseek", "phi"]


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """turn: what opens a turn, with the group `role`. ends: tokens that end a turn, begin a text or pad it."""

    turn: re.Pattern[str]
    ends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn. role: system, user, assistant or another name."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What a PRM reads: the problem, and what the policy wrote. in_thought: the prompt has opened the thinking."""

    problem: str
    response: str
    in_thought: bool = False


PADS = ("<pad>", "[PAD]", "<|pad|>", "<|PAD_TOKEN|>", "<|vision_pad|>", "<|fim_pad|>")
"""Padding that users give to tokenizers which have none, whatever the template is."""


def _template(turn: str, *ends: str) -> ChatFormat:
    return ChatFormat(re.compile(turn), (*ends, *PADS))


TEMPLATES: Mapping[str, ChatFormat] = MappingProxyType(
    {
        "chatml": _template(r"<\|im_start\|>(?P<role>\w+)(?:\n|<\|im_sep\|>)", "<|im_end|>", "<|endoftext|>"),
        "llama3": _template(
            r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\n\n",
            "<|eot_id|>",
            "<|eom_id|>",
            "<|end_of_text|>",
            "<|begin_of_text|>",
            "<|finetune_right_pad_id|>",
        ),
        "mistral": _template(r"(?P<role>\[/?INST\]|\[SYSTEM_PROMPT\])", "</s>", "<s>", "<unk>", "[/SYSTEM_PROMPT]"),
        "gemma": _template(r"<start_of_turn>(?P<role>\w+)\n", "<end_of_turn>", "<eos>", "<bos>"),
        "deepseek": _template(
            r"(?P<role><｜User｜>|<｜Assistant｜>)",
            "<｜end▁of▁sentence｜>",
            "<｜begin▁of▁sentence｜>",
            "<｜▁pad▁｜>",
        ),
        "phi": _template(
            r"<\|(?P<role>system|user|assistant)\|>\n?",
            "<|end|>",
            "<|endoftext|>",
            "</s>",
            "<|user|>",
            "<|observation|>",
            "[gMASK]<sop>",
        ),
    }
)
"""Their opening markers differ, so that a text says which one it is. phi is GLM's and Zephyr's too.

GLM ends a turn with the marker that opens the next one.
"""
ROLES = {
    "[INST]": "user",
    "[/INST]": "assistant",
    "[SYSTEM_PROMPT]": "system",
    "<｜User｜>": "user",
    "<｜Assistant｜>": "assistant",
    "model": "assistant",
}
MESSAGE_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
STEP_MARKER = "<extra_0>"
"""What clients of vLLM's /pooling write after each step of a Qwen2.5-Math-PRM."""
_TAG = r"(?:</?think(?:ing)?>|\[/?THINK\])"
_THINKING = re.compile(_TAG, re.IGNORECASE)
_BEFORE_TAG = re.compile(rf"(?<=\S)(?=[ \t]*{_TAG})", re.IGNORECASE)
_AFTER_TAG = re.compile(rf"({_TAG})(?=[ \t]*\S)", re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"(?:<think(?:ing)?>|\[THINK\])\s*\Z", re.IGNORECASE)
_MARKER = re.compile(r"<\|\w{3,40}\|?>|<\w{3,40}\|>|<｜[^｜<>\s]{2,40}｜>")
"""What special tokens of chat templates look like."""
_LLAMA2_SYSTEM = re.compile(r"<<SYS>>.*?<</SYS>>\s*", re.DOTALL)
_AFTER_ROLE = "\n\n"
"""The most white space with which a template opens a turn; a text that was stripped has lost it."""
_THOUGHT_ENDS = re.compile(r"</think(?:ing)?>|\[/THINK\]", re.IGNORECASE)
_THOUGHT_BEGINS = re.compile(r"<think(?:ing)?>|\[THINK\]", re.IGNORECASE)


def template_of(text: str, name: str = "auto") -> ChatFormat | None:
    """The template in which the text is written; None for a text in none. name: one of TEMPLATES says which."""
    if name != "auto":
        return TEMPLATES[name]
    return next((template for template in TEMPLATES.values() if template.turn.search(text)), None)


def turns_of(text: str, template: ChatFormat) -> list[ChatMessage]:
    """Every turn of a templated text, in order; none of a text in another template."""
    opened = list(template.turn.finditer(text))
    ends = [*(each.start() for each in opened[1:]), len(text)][: len(opened)]
    return [
        ChatMessage(_role(each), _without_llama2_system(strip_ends(text[each.end() : end], template)))
        for each, end in zip(opened, ends, strict=True)
    ]


def _role(opened: re.Match[str]) -> str:
    return ROLES.get(opened["role"], opened["role"])


def _without_llama2_system(turn: str) -> str:
    """Llama 2 writes the system's turn into the user's first one."""
    system = _LLAMA2_SYSTEM.match(turn)
    return turn[system.end() :] if system else turn


def strip_ends(text: str, template: ChatFormat | None = None) -> str:
    """Without white space and without end and padding tokens at either end; by default those of every template."""
    ends = template.ends if template else [token for each in TEMPLATES.values() for token in each.ends]
    before = None
    while text != before:
        before, text = text, text.strip()
        for token in ends:
            text = text.removeprefix(token).removesuffix(token)
    return text


def response_of(text: str, template: ChatFormat | None = None) -> str:
    """What was written of a response: without end and padding tokens and the assistant's empty turns after it.

    Without the marker that opens the assistant's turn, too, which begins a response whose prompt does not end with it.

    template: how it is written; by default in any of them.
    """
    templates = (template,) if template else tuple(TEMPLATES.values())
    before = None
    while text != before:
        before, text = text, strip_ends(text, template)
        for each in templates:
            text = _without_opening(_without_invitation(text, each), each)
    return text


def _without_opening(text: str, template: ChatFormat) -> str:
    opened = template.turn.match(text)
    return text[opened.end() :] if opened and _role(opened) == "assistant" else text


def _without_invitation(text: str, template: ChatFormat) -> str:
    """The text without its last turn, if that is the assistant's and holds nothing but tags of thinking."""
    opened = list(template.turn.finditer(text + _AFTER_ROLE))
    if not opened or _role(opened[-1]) != "assistant":
        return text
    begin, end = opened[-1].span()
    return text if strip_ends(_THINKING.sub("", text[end:]), template) else text[:begin]


def problem_of(prompt: str, name: str = "auto") -> str:
    """What the policy was asked: the turns of a templated prompt without system turns, or the whole of a plain one.

    A last turn of the assistant's is the invitation to write, and no part of the problem. Raises InvalidChat for a
    prompt with markers of another template.
    """
    template = template_of(prompt, name)
    turns = turns_of(prompt, template) if template else []
    return _questions_of(turns) if turns else _plain(strip_ends(prompt))


def opens_thought(prompt: str) -> bool:
    """Whether a prompt ends with the tag that opens the thinking, so that the response begins within it."""
    return _OPEN_THOUGHT.search(strip_ends(prompt)) is not None


def _plain(prompt: str) -> str:
    """Raises InvalidChat if it is not."""
    patterns = (_MARKER, *(template.turn for template in TEMPLATES.values()))
    marker = next((found for pattern in patterns if (found := pattern.search(prompt))), None)
    if marker is None:
        return prompt
    known = ", ".join(TEMPLATES)
    raise InvalidChat(
        f"the prompt holds {marker[0].strip()!r}, a marker of a chat template other than those that are read here "
        f"({known}); send the problem without its template, or as messages",
        known=known,
        marker=marker[0],
    )


def dialogue_of(text: str, name: str = "auto") -> Dialogue:
    """Prompt and response of one templated text. Raises InvalidChat if no turn of the assistant follows a user's."""
    template = template_of(text, name)
    turns = turns_of(text, template) if template else []
    # GLM ends what the assistant writes with the marker of the user's next turn.
    said = turns[:-1] if turns and not turns[-1].content and turns[-1].role == "user" else turns
    asked = [place for place, turn in enumerate(said) if turn.role == "user"]
    if template is None or not asked or asked[-1] + 1 >= len(turns):
        known = ", ".join(TEMPLATES)
        raise InvalidChat(
            f"the text has no turn of an assistant after a user's in a chat template that is known ({known})",
            known=known,
        )
    first = list(template.turn.finditer(text))[asked[-1] + 1]
    return Dialogue(_questions_of(turns[: asked[-1] + 1]), response_of(text[first.end() :], template))


def response_after(prompt: str, text: str, name: str = "auto") -> Dialogue:
    """Prompt and response, given the prompt too. Raises InvalidChat if the text does not begin with the prompt."""
    for begin in (prompt, strip_ends(prompt)):
        for whole in (text, strip_ends(text)):
            if whole.startswith(begin):
                return dialogue_after(prompt, whole[len(begin) :], name)
    raise InvalidChat("the text does not begin with its prompt, so that the response cannot be found in it")


def dialogue_after(prompt: str, response: str, name: str = "auto") -> Dialogue:
    """A prompt and what was written after it. Raises InvalidChat for a template that is not known."""
    template = template_of(prompt, name)
    return Dialogue(problem_of(prompt, name), response_of(response, template), opens_thought(prompt))


def messages_of(messages: Sequence[Any]) -> list[ChatMessage]:
    """Messages as OpenAI's and TRL's formats have them.

    Raises InvalidChat for what is not a list of messages, for an unknown role and for what is not text.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
        raise InvalidChat(f"a chat is a text or a list of messages, not {type(messages).__name__}")
    return [ChatMessage(str(each["role"]), _content(each.get("content"))) for each in map(_check_fields, messages)]


def problem_of_messages(messages: Sequence[ChatMessage]) -> str:
    """What was asked, without system messages."""
    return _questions_of(messages)


def without_thinking(text: str, in_thought: bool = False) -> str:
    """What follows the thinking; nothing if it was cut off before its end. in_thought: the prompt has opened it."""
    ends = list(_THOUGHT_ENDS.finditer(text))
    if ends:
        return text[ends[-1].end() :].strip()
    return "" if in_thought or _THOUGHT_BEGINS.search(text) else text


def on_own_lines(text: str) -> str:
    """Tags of thinking on lines of their own, where they are layout and belong to no step.

    Line breaks are put in where they are missing, and nothing else changes: what has them is left as it is.
    """
    return _AFTER_TAG.sub(r"\1\n", _BEFORE_TAG.sub("\n", text))


def steps_at_markers(text: str) -> tuple[str, ...]:
    """One step for each marker, empty ones included, and one more if text follows the last; none without a marker."""
    *steps, rest = (step.strip() for step in text.split(STEP_MARKER))
    return (*steps, rest) if steps and rest else tuple(steps)


def _questions_of(turns: Sequence[ChatMessage]) -> str:
    shown = [turn for turn in turns if turn.role not in ("system", "developer")]
    if shown and shown[-1].role == "assistant":
        shown.pop()
    return "\n\n".join(turn.content for turn in shown)


def _check_fields(message: Any) -> Mapping[str, Any]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise InvalidChat("a message is an object with `role` and `content`")
    if message["role"] not in MESSAGE_ROLES:
        raise InvalidChat(f"no role is called {message['role']!r}; known: {', '.join(MESSAGE_ROLES)}")
    return message


def _content(content: Any) -> str:
    """A text, or the texts of a list of parts; null is empty."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list | tuple) else [None]
    texts = [part.get("text") if isinstance(part, Mapping) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidChat("the content of a message is a text, or a list of parts that are texts")
    return "".join(map(str, texts))


def _valid_messages(value: list[Any]) -> list[ChatMessage]:
    """As a validator must fail: with ValueError."""
    try:
        return messages_of(value)
    except InvalidChat as error:
        raise ValueError(error.message) from error


def _problem_text(value: Any) -> Any:
    return problem_of_messages(_valid_messages(value)) if isinstance(value, list) else value


def _solution_text(value: Any) -> Any:
    """What the assistant wrote."""
    if not isinstance(value, list):
        return value
    if value and all(isinstance(each, str) for each in value):
        raise ValueError("a list of texts are steps: send them as `steps`")
    return "\n\n".join(each.content for each in _valid_messages(value) if each.role == "assistant")


_TEXT_OR_MESSAGES = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}], "title": "text or chat messages"}
)
ProblemText = Annotated[str, BeforeValidator(_problem_text), _TEXT_OR_MESSAGES]
"""A text, or messages: what was asked, without system messages."""
SolutionText = Annotated[str, BeforeValidator(_solution_text), _TEXT_OR_MESSAGES]
"""A text, or messages: what the assistant wrote."""
