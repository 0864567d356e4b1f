"""The PathFinder-PRM card's inference, transcribed: two passes a step, the second only if the first is clean.

declare-lab/PathFinder-PRM at 2f80ed4c30b4d3a0433502acd585513de3aed77e, in `src/evaluation`:
`reward_guided_search/PathFinderPRM.py` lines 35-109 (`inference_single`) and
`ProcessBench/code/run_eval_pathfinder_prm.py` lines 71-95 (the messages).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TRAINING = (
    "You are a Math Teacher. Given a question and a student's solution, evaluate the mathematical correctness, "
    "logic consistency of the current step and whether it will lead to the correct final solution"
)
CARD = TRAINING.replace("mathematical", "mathemetical")


def masked_logits(model: Any, tokenizer: Any, messages: list[dict[str, str]]) -> torch.Tensor:
    """The rows of `<+>` and `<->` before every `<extra>`."""
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    input_ids = tokenizer(rendered, add_special_tokens=False, return_tensors="pt")["input_ids"]
    token_masks = input_ids == tokenizer.encode("<extra>")[0]
    shifted_mask = torch.cat([token_masks[:, 1:], torch.zeros(token_masks.size(0), 1, dtype=torch.bool)], dim=1)
    allowed = [tokenizer.encode("<+>")[0], tokenizer.encode("<->")[0]]
    with torch.inference_mode():
        return model(input_ids).logits[shifted_mask][:, allowed]


def inference_single(model: Any, tokenizer: Any, messages: list[dict[str, str]]) -> float:
    predicted = masked_logits(model, tokenizer, messages).argmax(dim=-1)
    decoded_tokens = [("<+>", "<->")[index] for index in predicted.tolist()]
    if "<->" in decoded_tokens:
        return -1.0
    asst_response = messages[-1]["content"]
    for pred in decoded_tokens:
        asst_response = asst_response.replace("<extra>", pred, 1)
    asst_response += ", Correctness: <extra>"
    new_messages = [messages[0], {"role": "assistant", "content": asst_response}]
    return masked_logits(model, tokenizer, new_messages).softmax(dim=-1)[0][0].item()


def step_rewards(path: Path, problem: str, steps: list[str], instruction: str = TRAINING) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    user = {"role": "user", "content": instruction + "\n\n Question: " + problem}
    rewards = []
    for sdx, step in enumerate(steps):
        current = "Current Step: " + step + " Math reasoning: <extra>, Consistency: <extra>"
        content = current if sdx == 0 else "\n\n".join(steps[:sdx]) + "\n\n" + current
        rewards.append(inference_single(model, tokenizer, [user, {"role": "assistant", "content": content}]))
    return rewards
