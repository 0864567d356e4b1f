"""TRL's two tokenisations, transcribed from PRMTrainer.tokenize_row and from the documented pipeline call.

huggingface/trl at f2cd57710ae345ea6428ae95363267fcf38a3dc8: `trl/experimental/prm/prm_trainer.py` lines 325-356;
`docs/source/prm_trainer.md`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer


def step_rewards(path: Path, problem: str, steps: list[str], separator: str = "\n") -> list[float]:
    """Ids exactly as the trainer joins them; label 1 at the last id of each separator."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForTokenClassification.from_pretrained(path).eval()
    prompt_ids = tokenizer(problem, add_special_tokens=False)["input_ids"]
    completions_ids = [tokenizer(step, add_special_tokens=False)["input_ids"] for step in steps]
    separator_ids = tokenizer.encode(separator, add_special_tokens=False)
    completions_ids = [completion + separator_ids for completion in completions_ids]
    if tokenizer.bos_token_id is not None:
        prompt_ids = [tokenizer.bos_token_id, *prompt_ids]
    input_ids = list(prompt_ids)
    positions = []
    for completion in completions_ids:
        input_ids += completion
        positions.append(len(input_ids) - 1)
    with torch.inference_mode():
        logits = model(torch.tensor([input_ids])).logits[0]
    return torch.softmax(logits, dim=-1)[positions, 1].tolist()


def pipeline_rewards(path: Path, problem: str, steps: list[str], separator: str = "\n") -> list[float]:
    """One prefix at a time, the reward of the last token, as `pipeline("token-classification")(text)[-1]` does."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForTokenClassification.from_pretrained(path).eval()
    rewards = []
    for count in range(1, len(steps) + 1):
        text = separator.join((problem, *steps[:count])) + separator
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        rewards.append(torch.softmax(logits[-1], dim=-1)[1].item())
    return rewards
