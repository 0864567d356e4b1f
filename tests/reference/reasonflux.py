"""ReasonFlux-PRM-7B's card: the Qwen loop with a conversation of user and assistant only.

Gen-Verse/ReasonFlux at 8980b8b9298e6a02f730a14579106bd5ba34fcb3: `ReasonFlux_PRM/README.md` lines 92-117 and
`ReasonFlux_PRM/utils/rm_utils.py` lines 7-16 (`make_step_rewards`).
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer

from reference.qwen_math import load


def step_rewards(path: Path, problem: str, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = load(path)
    messages = [
        {"role": "user", "content": problem},
        {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
    ]
    conversation = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    input_ids = tokenizer.encode(conversation, return_tensors="pt")
    with torch.inference_mode():
        probabilities = torch.softmax(model(input_ids), dim=-1)
    return probabilities[input_ids == tokenizer.encode("<extra_0>")[0]][:, 1].tolist()
