"""The causal language model that a run starts from, with its tokenizer, made ready for an output's marker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from stepscore.checkpoint import locate, read_facts
from stepscore.embedded.prepare import prepare_base
from stepscore.embedded.smollm2 import load_smollm2
from stepscore.embedded.sources import SMOLLM2, SOURCES
from stepscore.engine.torch.architecture import CONFIGS
from stepscore.errors import CheckpointError
from stepscore.text.tokenizer import StepTokenizer


@dataclass(slots=True)
class Base:
    """lm: a causal language model of transformers. new_tokens: ids that the tokenizer did not have before."""

    lm: Any
    tokenizer: PreTrainedTokenizerFast
    new_tokens: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """The architecture's name in class names: Qwen2, Llama, ..."""
        return type(self.lm).__name__.removesuffix("ForCausalLM")


def open_base(name: str, dtype: torch.dtype) -> Base:
    """A folder, a Hub id, "smollm2", or one of `SOURCES`, which is prepared if it is missing.

    Raises CheckpointError for what is not a causal model that the engines run.
    """
    if name == SMOLLM2:
        lm, tokenizer = load_smollm2()
        lm.to(dtype)  # type: ignore[arg-type]
        return Base(lm, tokenizer.inner)
    folder = prepare_base(name) if name in SOURCES else locate(name)
    facts = read_facts(folder)
    if facts.config.get("model_type") not in CONFIGS:
        raise CheckpointError(f"{name} is {facts.config.get('model_type')}; bases are {', '.join(CONFIGS)}")
    causal = [each for each in facts.architectures if each.endswith("ForCausalLM")]
    if not causal:
        found = ", ".join(facts.architectures) or "no architecture"
        raise CheckpointError(f"{name} is {found}; a base is a causal language model (*ForCausalLM)", path=name)
    tokenizer = StepTokenizer.open(str(folder))
    return Base(AutoModelForCausalLM.from_pretrained(folder, dtype=dtype), tokenizer.inner)


def with_marker(base: Base, marker: str | None) -> Base:
    """The base with the marker in its vocabulary; its embedding is added if the table has no row to spare."""
    if marker is None or marker in base.tokenizer.get_vocab():
        return base
    base.tokenizer.add_tokens([AddedToken(marker, special=True, normalized=False)], special_tokens=True)
    if len(base.tokenizer) > base.lm.get_input_embeddings().num_embeddings:
        base.lm.resize_token_embeddings(len(base.tokenizer))
    return Base(base.lm, base.tokenizer, (base.tokenizer.get_vocab()[marker],))
