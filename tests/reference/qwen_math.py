"""The Qwen2.5-Math-PRM model card's own loop, transcribed: class, prompt and `make_step_rewards`.

The same loop: Red-Hat-AI-Innovation-Team/reward_hub at fc6150df140087271746654c1de59aa7d066e548,
`reward_hub/hf/reward.py` lines 94-104 and 178-211. The class is on the Hub only (Qwen/Qwen2.5-Math-PRM-7B).

One departure: the card keeps `probabilities != 0`, which loses a step whose probability underflows; the marker mask
selects the same entries otherwise.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer, Qwen2Config, Qwen2Model

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


class Qwen2ForProcessRewardModel(nn.Module):
    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.model = Qwen2Model(config)
        self.score = nn.Sequential(
            nn.Linear(config.hidden_size, config.hidden_size), nn.ReLU(), nn.Linear(config.hidden_size, 2)
        )

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        hidden_states = self.model(input_ids=input_ids, use_cache=False)[0]
        return self.score(hidden_states)


def load(path: Path) -> Qwen2ForProcessRewardModel:
    model = Qwen2ForProcessRewardModel(Qwen2Config.from_pretrained(path)).eval()
    state = {}
    for file in sorted(path.glob("*.safetensors")):
        state |= load_file(file)
    model.load_state_dict(state, strict=True)
    return model


def step_rewards(path: Path, problem: str, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = load(path)
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": problem},
        {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
    ]
    conversation = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    input_ids = tokenizer.encode(conversation, return_tensors="pt")
    step_sep_id = tokenizer.encode("<extra_0>")[0]
    with torch.inference_mode():
        logits = model(input_ids)
    token_masks = input_ids == step_sep_id
    probabilities = torch.softmax(logits, dim=-1)
    return probabilities[token_masks][:, 1].tolist()
