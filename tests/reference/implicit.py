"""The EurusPRM card's code and ImplicitPRM's evaluation scripts, transcribed.

PRIME-RL/ImplicitPRM at c04417559fdbd59738187c613c6c31821e964431: `eval/prm_eval_utils.py` lines 184-225 (boundaries),
356-377 (log-probabilities) and 405-465 (rewards); `eval/processbench.py` lines 131-172 and its scoring loop.

One departure: their `attention_mask = input_ids != pad` is left out; a lone sequence has no padding, and where
the padding token is the closing one it would hide real tokens.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def get_logps(model: Any, inputs: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=inputs).logits
    labels = inputs[:, 1:].clone().long()
    logits = logits[:, :-1, :]
    return torch.gather(logits.log_softmax(-1), dim=2, index=labels.unsqueeze(2)).squeeze(2)


def render(tokenizer: Any, problem: str, steps: list[str]) -> str:
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": problem}, {"role": "assistant", "content": "\n\n".join(steps)}],
        tokenize=False,
        add_generation_prompt=False,
    )


def get_step_last_tokens(tokenizer: Any, problem: str, steps: list[str]) -> list[int]:
    step_last_tokens = []
    for step_num in range(0, len(steps) + 1):
        conv = render(tokenizer, problem, steps[:step_num]).strip()
        if step_num != len(steps) and conv.endswith("<|eot_id|>"):
            conv = conv[: -len("<|eot_id|>")]
        if step_num not in {0, len(steps)}:
            conv += "\n\n"
        currect_ids = tokenizer.encode(conv, add_special_tokens=False)
        step_last_tokens.append(len(currect_ids) - 2)
    return step_last_tokens


def step_rewards(
    path: Path,
    base: Path,
    problem: str,
    steps: list[str],
    *,
    coef: float = 0.001,
    masking: str = "card",
    values: str = "accumulated",
    prefix: str = "missing",
) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    ref_model = AutoModelForCausalLM.from_pretrained(base).eval()
    if prefix == "always":
        steps = [f"Step {n + 1}: {step}" for n, step in enumerate(steps)]
    if prefix == "missing":
        steps = [step if re.match(r"Step \d+:", step) else f"Step {n + 1}: {step}" for n, step in enumerate(steps)]
    rendered = render(tokenizer, problem, steps)
    input_ids = tokenizer(rendered, add_special_tokens=False, return_tensors="pt")["input_ids"]
    step_last_tokens = get_step_last_tokens(tokenizer, problem, steps)
    start = step_last_tokens[0]
    label_mask = torch.tensor([[0] * start + [1] * (input_ids.shape[-1] - start)])
    with torch.inference_mode():
        raw_reward = get_logps(model, input_ids) - get_logps(ref_model, input_ids)
    mask = label_mask[:, 1:] if masking == "card" else label_mask[:, :-1]
    beta_reward = (coef * raw_reward * mask).cumsum(-1)
    rewards = beta_reward.gather(dim=-1, index=torch.tensor([step_last_tokens[1:]]))[0]
    if values == "single":
        rewards = torch.diff(rewards, prepend=torch.zeros(1))
    return rewards.tolist()
