"""The PURE-PRM card's loop, transcribed: ids joined step by step, probability of right minus probability of wrong.

The same loop: ssmisya/PRMBench at a1ae4eab803e14c4c6316bf89d1679b0486faa8c, `mr_eval/models/pure_prm.py` lines
41-66 and 112-118, with the separator as an argument.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer


def step_rewards(path: Path, problem: str, steps: list[str], separator: str = "\n") -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForTokenClassification.from_pretrained(path).eval()
    separator_ids = tokenizer.encode(separator, add_special_tokens=False, return_tensors="pt")
    input_ids = tokenizer.encode(problem, add_special_tokens=False, return_tensors="pt")
    score_ids = []
    for step in steps:
        step_ids = tokenizer.encode(step, add_special_tokens=False, return_tensors="pt")
        input_ids = torch.cat([input_ids, step_ids, separator_ids], dim=-1)
        score_ids.append(input_ids.size(-1) - 1)
    with torch.inference_mode():
        logits = model(input_ids.long()).logits[0]
    probabilities = logits[score_ids].softmax(dim=-1)
    return (probabilities[:, 1] - probabilities[:, 0]).tolist()


def min_form(logits_BT2: torch.Tensor, reward_mask_BT: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """CJReinforce/PURE@41f9363 openrlhf/utils/utils.py:149-183 (turn_process_reward_logits_to_reward), transcribed."""
    softmax_logits = logits_BT2.softmax(dim=-1)
    process_reward = softmax_logits[..., 1] - softmax_logits[..., 0]
    process_reward = process_reward.masked_fill(~reward_mask_BT, 0)
    weight = torch.softmax(-process_reward.masked_fill(~reward_mask_BT, float("inf")) / temperature, dim=-1)
    return weight * process_reward
