"""ActivePRM's published snippet with its network classes, transcribed: sigmoid of every member, then their mean.

sail-sg/ActivePRM at a93b338bd842679b6154364dbee5fbe088fdbc79: `src/active_prm/models/nets.py` lines 103-191 (the
ensemble) and `examples/py_scripts/code_snippets.py` lines 5-11 (`make_step_rewards`) and the prompt below them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer, Qwen2Config, Qwen2Model

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


class EnsembleFC(nn.Module):
    def __init__(self, in_features: int, out_features: int, ensemble_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(ensemble_size, in_features, out_features))
        self.bias = nn.Parameter(torch.empty(ensemble_size, out_features))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        wx = torch.einsum("eblh,ehm->eblm", input, self.weight)
        return torch.add(wx, self.bias[:, None, None, :])


class Members(nn.Module):
    def __init__(self, encoding_dim: int, num_ensemble: int, hidden_dim: int) -> None:
        super().__init__()
        self.num_ensemble = num_ensemble
        self.nn1 = EnsembleFC(encoding_dim, hidden_dim, num_ensemble)
        self.nn2 = EnsembleFC(hidden_dim, hidden_dim, num_ensemble)
        self.nn_out = EnsembleFC(hidden_dim, 1, num_ensemble)

    def forward(self, encoding: torch.Tensor) -> torch.Tensor:
        x = encoding[None].repeat(self.num_ensemble, 1, 1, 1)
        x = torch.relu(self.nn1(x))
        x = torch.relu(self.nn2(x))
        return self.nn_out(x)


class EnsembleModel(nn.Module):
    def __init__(self, encoding_dim: int, num_ensemble: int, hidden_dim: int) -> None:
        super().__init__()
        self.model = Members(encoding_dim, num_ensemble, hidden_dim)
        self.reg_model = Members(encoding_dim, num_ensemble, hidden_dim)


class Qwen2ForEnsemblePRM(nn.Module):
    def __init__(self, config: Qwen2Config, hidden_dim: int) -> None:
        super().__init__()
        self.model = Qwen2Model(config)
        self.score = EnsembleModel(config.hidden_size, config.num_ensemble, hidden_dim)

    def inference(self, input_ids: torch.Tensor) -> torch.Tensor:
        hidden_states = self.model(input_ids=input_ids, use_cache=False)[0]
        return self.score.model(hidden_states).squeeze(-1).sigmoid()


def load(path: Path) -> Qwen2ForEnsemblePRM:
    state = load_file(path / "model.safetensors")
    hidden_dim = state["score.model.nn1.bias"].shape[1]
    model = Qwen2ForEnsemblePRM(Qwen2Config.from_pretrained(path), hidden_dim).eval()
    model.load_state_dict(state, strict=True)
    return model


def votes(path: Path, problem: str, steps: list[str], system: str = SYSTEM) -> torch.Tensor:
    """(E, S): every member's probability for every step."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": problem},
        {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
    ]
    conversation = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    input_ids = tokenizer.encode(conversation, return_tensors="pt")
    with torch.inference_mode():
        logits = load(path).inference(input_ids)
    token_masks = input_ids == tokenizer.encode("<extra_0>")[0]
    return logits[:, 0, token_masks[0]]


def step_rewards(path: Path, problem: str, steps: list[str], system: str = SYSTEM) -> list[float]:
    return votes(path, problem, steps, system).mean(dim=0).tolist()
