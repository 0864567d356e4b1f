"""A notebook's single-head PRM with plain transformers: ids joined piece by piece, or the string encoded whole, and
sigmoid of one linear layer at each separator. Nobody's code: there is no published checkpoint of this kind."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoTokenizer


def values(path: Path, input_ids: list[int], head: str) -> torch.Tensor:
    """The head's number at every position."""
    state = load_file(path / "model.safetensors")
    backbone = {
        key.removeprefix("model."): tensor for key, tensor in state.items() if not key.startswith((head, "lm_head"))
    }
    model = AutoModel.from_config(AutoConfig.from_pretrained(path)).eval()
    model.load_state_dict(backbone)
    with torch.inference_mode():
        hidden = model(torch.tensor([input_ids])).last_hidden_state[0]
        return torch.nn.functional.linear(hidden, state[f"{head}.weight"], state.get(f"{head}.bias"))[:, 0]


def step_rewards(path: Path, problem: str, steps: list[str], head: str, separator: str = "\n") -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)

    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    bos = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    input_ids = bos + encode(problem) + encode("\n")
    positions = []
    for step in steps:
        input_ids += encode(step) + encode(separator)
        positions.append(len(input_ids) - 1)
    return torch.sigmoid(values(path, input_ids, head)[positions]).tolist()


def joint_rewards(path: Path, problem: str, steps: list[str], head: str, separator: str) -> list[float]:
    """One string with a separator that is an added token; its id is searched for."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    input_ids = tokenizer(problem + "\n" + "".join(step + separator for step in steps))["input_ids"]
    separator_id = tokenizer.convert_tokens_to_ids(separator)
    found = torch.tensor(input_ids) == separator_id
    return torch.sigmoid(values(path, input_ids, head)[found]).tolist()
