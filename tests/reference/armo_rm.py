"""ArmoRM's `modeling_custom.py` and its card's call, transcribed, once for each prefix of the steps.

The class is on the Hub only (RLHFlow/ArmoRM-Llama3-8B-v0.1); it was read beside public copies of the file. The call is
that of Red-Hat-AI-Innovation-Team/reward_hub at fc6150df140087271746654c1de59aa7d066e548, `reward_hub/hf/reward.py`
lines 68-83, which runs this class in tests/authors.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer, LlamaConfig, LlamaModel


class GatingNetwork(nn.Module):
    def __init__(self, in_features: int, out_features: int, temperature: float, hidden_dim: int, n_hidden: int) -> None:
        super().__init__()
        self.temperature = temperature
        self.logit_scale = nn.Parameter(torch.ones(1))
        layers = []
        for _ in range(n_hidden):
            layers.append(nn.Linear(in_features, hidden_dim))
            in_features = hidden_dim
        layers.append(nn.Linear(in_features, out_features))
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, layer in enumerate(self.layers):
            x = torch.relu(layer(x)) if i < len(self.layers) - 1 else layer(x)
        x = torch.softmax(x / self.temperature, dim=1)
        return x * self.logit_scale[0]


class LlamaForRewardModelWithGating(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = LlamaModel(config)
        self.regression_layer = nn.Linear(config.hidden_size, config.num_objectives, bias=False)
        self.reward_transform_matrix = nn.Parameter(torch.eye(config.num_objectives))
        self.gating = GatingNetwork(
            config.hidden_size,
            config.num_objectives,
            config.gating_temperature,
            config.gating_hidden_dim,
            config.gating_n_hidden,
        )

    def forward(self, input_ids: torch.Tensor, token_pattern: list[int]) -> torch.Tensor:
        hidden = self.model(input_ids, use_cache=False)[0]
        rewards = self.regression_layer(hidden[:, -1])
        position = find_token_for_gating(input_ids[0].tolist(), token_pattern)
        gating_output = self.gating(hidden[:, position])
        rewards_adjusted = rewards @ self.reward_transform_matrix
        return torch.sum(gating_output * rewards_adjusted, dim=1)


def find_token_for_gating(lst: list[int], token_pattern: list[int]) -> int:
    """The last occurrence of the pattern."""
    for j in range(len(lst) - len(token_pattern), -1, -1):
        if lst[j : j + len(token_pattern)] == token_pattern:
            return j
    raise ValueError("Token pattern not found in the list.")


def step_rewards(path: Path, problem: str, steps: list[str], *, final: bool = False) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = LlamaForRewardModelWithGating(LlamaConfig.from_pretrained(path)).eval()
    model.load_state_dict(load_file(path / "model.safetensors"), strict=True)
    pattern = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    token_pattern = tokenizer.encode(pattern, add_special_tokens=False)
    scores = []
    for k in range(len(steps)):
        answer = "\n\n".join(steps if final else steps[: k + 1])
        messages = [{"role": "user", "content": problem}, {"role": "assistant", "content": answer}]
        rendered = tokenizer.apply_chat_template(messages, tokenize=False)
        input_ids = tokenizer(rendered, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            scores.append(model(input_ids, token_pattern)[0].item())
    return scores
