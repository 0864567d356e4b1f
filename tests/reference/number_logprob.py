"""The language-model reading, written out with transformers: the least likely digit of each step."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def step_rewards(path: Path, problem: str, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    constants = json.loads((path / "config.json").read_text())["number_logprob"]
    prompt = f"<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n"
    encoding = tokenizer(prompt + "".join(f"{step}\n" for step in steps), return_offsets_mapping=True)
    ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
    own = [logprobs[position - 1, ids[position]].item() for position in range(1, len(ids))]
    end = len(prompt)
    token = next(index for index, (_, stop) in enumerate(offsets) if stop > end)
    rewards = []
    for step in steps:
        end += len(step) + 1
        inside = []
        while token < len(ids) and offsets[token][1] <= end:
            inside.append(token)
            token += 1
        digits = [t for t in inside if any(c in "0123456789" for c in tokenizer.convert_ids_to_tokens(ids[t]))]
        lowest = min(own[t - 1] for t in digits or inside)
        kind = "" if digits else "wordy_"
        x = constants[f"{kind}slope"] * lowest + constants[f"{kind}offset"]
        rewards.append(1 / (1 + math.exp(-x)))
    return rewards
