"""ReasonEval's `get_results`, transcribed: separators in, separators out, three classes at the noted indices.

GAIR-NLP/ReasonEval at 6c91c7a16e2b0e12ebc89685207cd091fb411478: `codes/examples.py` lines 8-99 (the two classes) and
101-167 (`get_results`).
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast


class ReasonEval(nn.Module):
    def __init__(self, config) -> None:
        super().__init__()
        self.model = AutoModel.from_config(config)
        bias = config.use_bias if hasattr(config, "use_bias") else config.bias
        self.score_head = nn.Linear(config.hidden_size, 3, bias=bias)

    def forward(self, input_ids, attention_mask):
        return self.score_head(self.model(input_ids=input_ids, attention_mask=attention_mask)[0])


def class_scores(path: Path, problem: str, steps: list[str], model_size: str) -> list[list[float]]:
    # The file itself, as transformers 4 read it; AutoTokenizer of transformers 5 rebuilds Llama tokenizers.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    model = ReasonEval(AutoConfig.from_pretrained(path)).eval()
    model.load_state_dict(load_file(path / "model.safetensors"), strict=True)
    step_separator = f"{tokenizer.pad_token}"
    combined_steps = ""
    for step in steps:
        combined_steps += step + step_separator
    prompt = f"Question:\n{problem}\nAnswer:\nLet's think step by step.\n"
    tokenized_result = tokenizer(prompt + step_separator + combined_steps)["input_ids"]
    separator_token_id = tokenizer(step_separator)["input_ids"][-1]
    labeled_token_indices = []
    adjusted_token_ids = []
    separator_count = 0
    for idx, token_id in enumerate(tokenized_result):
        if token_id == separator_token_id:
            labeled_token_indices.append(idx - 1 - separator_count)
            separator_count += 1
        else:
            adjusted_token_ids.append(token_id)
    if model_size == "7B":
        adjusted_token_ids = torch.tensor([[1, *adjusted_token_ids]])
        labeled_token_indices = labeled_token_indices[2:]
    else:
        adjusted_token_ids = torch.tensor([adjusted_token_ids])
        labeled_token_indices = labeled_token_indices[1:]
    assert len(labeled_token_indices) == len(steps)
    attention_mask = adjusted_token_ids.new_ones(adjusted_token_ids.size(), dtype=torch.bool)
    with torch.inference_mode():
        reasoning_scores = model(adjusted_token_ids, attention_mask)[0, labeled_token_indices, :]
        return torch.softmax(reasoning_scores, dim=-1).tolist()


def validity(path: Path, problem: str, steps: list[str], model_size: str) -> list[float]:
    return [score[1] + score[2] for score in class_scores(path, problem, steps, model_size)]


def redundancy(path: Path, problem: str, steps: list[str], model_size: str) -> list[float]:
    return [score[1] for score in class_scores(path, problem, steps, model_size)]
