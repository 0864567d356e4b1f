"""Outcome reward models as their cards run them, once for each prefix of the steps (or once for the whole answer).

Red-Hat-AI-Innovation-Team/reward_hub at fc6150df140087271746654c1de59aa7d066e548: `reward_hub/hf/reward.py` lines 43-66
(Qwen2.5-Math-RM; its class is on the Hub only, in modeling_qwen2_rm.py).
allenai/reward-bench at 05a9005efb607249822c193590c8ecab87c77052: `rewardbench/models/pipeline.py` lines 26-81 (sequence
classifiers; the BOS is dropped here as Skywork's card drops it, and masked there).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Qwen2Config, Qwen2Model

ACEMATH = "Please reason step by step, and check your final answer within \\boxed{}."
QWEN = "Please reason step by step, and put your final answer within \\boxed{}."


class Qwen2ForRewardModel(nn.Module):
    """The class of `modeling_qwen2_rm.py`: two linear layers, pooled at the last token before padding."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.config = config
        self.model = Qwen2Model(config)
        self.score = nn.Sequential(
            nn.Linear(config.hidden_size, config.hidden_size), nn.ReLU(), nn.Linear(config.hidden_size, 1)
        )

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        logits = self.score(self.model(input_ids=input_ids, use_cache=False)[0])
        lengths = torch.eq(input_ids, self.config.pad_token_id).int().argmax(-1) - 1
        return logits[torch.arange(len(input_ids)), lengths % input_ids.shape[-1]]


def messages(problem: str, answer: str, system: str = "") -> list[dict[str, str]]:
    conversation = [{"role": "user", "content": problem}, {"role": "assistant", "content": answer}]
    return [{"role": "system", "content": system}, *conversation] if system else conversation


def answers(steps: list[str], final: bool) -> list[str]:
    return ["\n\n".join(steps)] * len(steps) if final else ["\n\n".join(steps[: k + 1]) for k in range(len(steps))]


def sequence_classification(
    path: Path, problem: str, steps: list[str], *, system: str = "", final: bool = False
) -> list[float]:
    """Skywork-Reward's card (strip the rendered BOS, let the tokenizer add it) and AceMath-RM's, which is the same
    without a BOS."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1).eval()
    return [one_reward(model, tokenizer, messages(problem, answer, system)) for answer in answers(steps, final)]


def one_reward(model: Any, tokenizer: Any, conversation: list[dict[str, str]]) -> float:
    formatted = tokenizer.apply_chat_template(conversation, tokenize=False)
    if tokenizer.bos_token is not None and formatted.startswith(tokenizer.bos_token):
        formatted = formatted[len(tokenizer.bos_token) :]
    tokenized = tokenizer(formatted, return_tensors="pt")
    with torch.inference_mode():
        return model(**tokenized).logits[0][0].item()


def qwen_math_rm(path: Path, problem: str, steps: list[str], *, final: bool = False) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = Qwen2ForRewardModel(Qwen2Config.from_pretrained(path)).eval()
    model.load_state_dict(load_file(path / "model.safetensors"), strict=True)
    rewards = []
    for answer in answers(steps, final):
        conversation = tokenizer.apply_chat_template(messages(problem, answer, QWEN), tokenize=False)
        input_ids = tokenizer(conversation, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            rewards.append(model(input_ids)[0].item())
    return rewards
