"""How a policy is asked: the problem in its chat template or a plain one, then the steps that are written already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from transformers import PreTrainedTokenizerFast

from stepscore.generate.protocol import Prompt
from stepscore.text.chat import lost_text, render_chat

HOLE = "{problem}"
PLAIN = "Question: {problem}\nAnswer:\n"
CHAT = "{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}."


class PromptWriter(Protocol):
    """Writes prompts of one policy."""

    def write(self, problem: str, prefix: str) -> Prompt:
        """The prompt after which the policy continues `prefix`, the text of the solution so far."""
        ...


@dataclass(frozen=True, slots=True)
class PlainPrompt:
    """A text with the problem in its hole, and the prefix after it. The policy's tokenizer adds what it always does.

    template: holds `{problem}` once; other braces are text.
    """

    template: str = PLAIN

    def write(self, problem: str, prefix: str) -> Prompt:
        return fill_template(self.template, problem) + prefix


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """One user message in the tokenizer's own chat template, and the answer begun with the prefix.

    Ids, because the template has written every special token already and a tokenizer would add some again.
    `write` raises CheckpointError if the template fails, or leaves the message out.
    """

    tokenizer: PreTrainedTokenizerFast
    template: str = CHAT

    def write(self, problem: str, prefix: str) -> Prompt:
        message = {"role": "user", "content": fill_template(self.template, problem)}
        opened = render_chat(self.tokenizer, [message], generation_prompt=True)
        if message["content"].strip() not in opened:
            raise lost_text(message["content"], ["user"])
        return tuple(self.tokenizer.encode(opened + prefix, add_special_tokens=False))


def fill_template(template: str, problem: str) -> str:
    return template.replace(HOLE, problem)
