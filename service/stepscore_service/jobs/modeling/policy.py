"""How a policy's solution is written if only its language model is trained: as `stepscore label` asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from stepscore.family.layout import check
from stepscore.generate.prompt import ChatPrompt, PlainPrompt, PromptWriter
from stepscore.types import Encoded, EncodedSolution, Solution

JOIN = "\n"


@dataclass(frozen=True, slots=True)
class PolicyText:
    """The prompt, the steps on lines of their own, and the token that ends an answer. Nothing is read."""

    tokenizer: PreTrainedTokenizerFast

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        prompt = self._writer.write(solution.problem, JOIN.join(solution.steps))
        ids = self.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
        end = () if self.tokenizer.eos_token_id is None else (self.tokenizer.eos_token_id,)
        return EncodedSolution((Encoded((*ids, *end), ()),), steps=len(solution.steps))

    @property
    def _writer(self) -> PromptWriter:
        return ChatPrompt(self.tokenizer) if self.tokenizer.chat_template else PlainPrompt()
