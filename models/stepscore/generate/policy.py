"""Opening a policy: the model that writes solutions, with the way in which it is prompted."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stepscore.checkpoint import checkpoint_facts
from stepscore.config import CheckpointFacts, Device, DType
from stepscore.errors import CheckpointError, InvalidOption
from stepscore.generate.open import open_generator
from stepscore.generate.prompt import CHAT, HOLE, PLAIN, ChatPrompt, PlainPrompt, PromptWriter
from stepscore.generate.protocol import Generator
from stepscore.text.tokenizer import StepTokenizer

TRANSFORMERS = "transformers"
CONTEXT_TOKENS = 4096
"""Tokens of prompt and completion together if no checkpoint says it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Where solutions come from. generator: transformers, vllm or openai:URL[#NAME]. model: a folder or a Hub id.

    prompt: a template with {problem}; "" takes the chat template of the model's tokenizer, or a plain one.
    """

    generator: str = TRANSFORMERS
    model: str = ""
    prompt: str = ""
    device: Device = "auto"
    dtype: DType = "auto"
    max_tokens: int = 0
    gpus: int = 1

    @property
    def in_process(self) -> bool:
        return not self.generator.startswith("openai:")

    def check(self) -> None:
        """Raises InvalidOption for a prompt without a place for the problem and for an unknown generator."""
        if self.prompt and HOLE not in self.prompt:
            raise InvalidOption(f"--prompt holds no {HOLE}", option="prompt", known=[HOLE])
        known = [TRANSFORMERS, "vllm", "openai:URL#NAME"]
        if self.in_process and self.generator not in known:
            raise InvalidOption(
                f"{self.generator!r} is not a generator; choose one of {', '.join(known)}",
                option="generator",
                known=known,
            )

    @property
    def revision(self) -> str | None:
        """Which weights the policy has; None if a server has them."""
        return checkpoint_facts(self.model).revision if self.in_process and self.model else None


def policy_at(address: str, prompt: str = "", device: Device = "auto", dtype: DType = "auto") -> Policy:
    """The policy at an address: URL or URL#NAME of an OpenAI-compatible server, vllm:MODEL, a folder or a Hub id."""
    generator, model = TRANSFORMERS, address
    if address.startswith(("http://", "https://")):
        generator, model = f"openai:{address}", ""
    elif address.startswith("vllm:"):
        generator, model = "vllm", address.removeprefix("vllm:")
    return Policy(generator, model, prompt, device, dtype)


def open_policy(policy: Policy) -> tuple[Generator, PromptWriter]:
    """Raises CheckpointError if the model cannot be opened, or if none is named for a generator in process."""
    if policy.in_process and not policy.model:
        raise CheckpointError(f"the generator {policy.generator} needs --model, the policy's folder or Hub id")
    facts = checkpoint_facts(policy.model, weights=policy.in_process) if policy.model else None
    generator = open_generator(
        "" if policy.generator == TRANSFORMERS else policy.generator,
        facts.path if facts else Path(),
        model=facts.name if facts else "",
        device=policy.device,
        dtype=policy.dtype,
        max_tokens=policy.max_tokens,
        longest=facts.max_tokens if facts else CONTEXT_TOKENS,
        tensor_parallel_size=policy.gpus,
    )
    return generator, prompts_of(policy.prompt, facts)


def prompts_of(template: str, facts: CheckpointFacts | None) -> PromptWriter:
    """The model's own chat template if its tokenizer has one, else the problem as plain text.

    Raises CheckpointError if the chat template fails or leaves the problem out.
    """
    tokenizer = None
    if facts is not None:
        with suppress(CheckpointError):  # a server's name may be that of a model whose tokenizer is not here
            tokenizer = StepTokenizer.open(str(facts.path)).inner
    if tokenizer is not None and tokenizer.chat_template:
        written = ChatPrompt(tokenizer, template or CHAT)
        written.write("What is 1 + 1?", "")
        return written
    return PlainPrompt(template or PLAIN)
