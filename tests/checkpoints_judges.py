"""Tiny checkpoints of judges: causal language models with the chat templates that judges are trained on."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tokenizers import processors
from transformers import PreTrainedTokenizerFast

import tokenizers_for_tests as tokenizers
from checkpoints import backbone_state, decoder_config, save, vocabulary_head

BOS, EOS, USER, ASSISTANT = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"
R1_DISTILL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{% endif %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<｜Assistant｜>' + message['content'].split('</think>')[-1] + eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
)


@lru_cache
def r1_distill() -> PreTrainedTokenizerFast:
    """DeepSeek-R1-Distill's kind: a BOS from the template and, for plain text, another from the tokenizer."""
    specials = [BOS, EOS, USER, ASSISTANT]
    tokenizer = tokenizers._byte_level(tokenizers.QWEN_SPLIT, specials, normalizer=True)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=EOS, chat_template=R1_DISTILL
    )


def judge(folder: Path, kind: str = "qwen", positions: int = 4096, seed: int = 0) -> Path:
    """Qwen2ForCausalLM with Qwen's own chat template, or DeepSeek-R1-Distill's."""
    tokenizer = r1_distill() if kind == "r1" else tokenizers.qwen()
    config = decoder_config("qwen2", tokenizer, max_position_embeddings=positions)
    state = backbone_state(config, seed) | vocabulary_head(config, seed + 2)
    return save(folder, config, state, tokenizer, "Qwen2ForCausalLM")
