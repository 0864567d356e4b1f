"""skywork-o1-prm-inference, transcribed: `prepare_input`, the value head wrapped around the causal model, sigmoid.

SkyworkAI/skywork-o1-prm-inference at 719b56b17447405e0f10e6c0360a581cf4ffa9c1, in `model_utils`: `io_utils.py` lines
4-23 (`prepare_input`) and 43-50 (`derive_step_rewards`), `prm_model.py` lines 20-57 (`ValueHead`), 60-245
(`PRM_MODEL`).

The authors give one number per line of the response; `step_rewards` joins the steps with line breaks and keeps the
number of each step's last line.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def prepare_input(problem, response, tokenizer, step_token):
    prompt_ids = tokenizer.encode(tokenizer.bos_token + problem + "\n")
    response_ids = []
    reward_flags = [0] * len(prompt_ids)
    step_token_id = tokenizer.encode(step_token)[-1]
    for step in response.split(step_token):
        step_ids = tokenizer.encode(step) if step != "" else []
        step_ids += [step_token_id]
        flag = [0] * len(step_ids)
        flag[-1] = 1
        response_ids.extend(step_ids)
        reward_flags.extend(flag)
    return prompt_ids + response_ids, reward_flags


def line_rewards(path: Path, problem: str, response: str) -> list[float]:
    """The authors' list: one number for every line, blank ones included."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    state = load_file(path / "model.safetensors")
    summary = nn.Linear(state["v_head.summary.weight"].shape[1], 1)
    summary.load_state_dict({"weight": state["v_head.summary.weight"], "bias": state["v_head.summary.bias"]})
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path)).eval()
    model.load_state_dict({key: tensor for key, tensor in state.items() if not key.startswith("v_head.")})
    input_ids, reward_flags = prepare_input(problem, response, tokenizer, "\n")
    with torch.inference_mode():
        outputs = model(torch.tensor([input_ids]), output_hidden_states=True)
        values = summary(outputs.hidden_states[-1]).squeeze(-1)
    rewards = values.sigmoid()[0]
    return [rewards[index].item() for index, flag in enumerate(reward_flags) if flag == 1]


def step_rewards(path: Path, problem: str, steps: list[str]) -> list[float]:
    lines = line_rewards(path, problem, "\n".join(steps))
    rewards, line = [], -1
    for step in steps:
        line += step.count("\n") + 1
        rewards.append(lines[line])
    return rewards


def collapsed_rewards(path: Path, problem: str, steps: list[str]) -> list[float]:
    """compute-optimal-tts: line breaks inside a step become spaces, so that lines and steps are the same."""
    return line_rewards(path, problem, "\n".join(step.replace("\n", " ").strip() for step in steps))
