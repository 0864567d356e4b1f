"""FoVer's input format and score extraction, transcribed.

psunlpgroup/FoVer at 742fcf90c277f99cd9fe07c510f63e871a1d97e9: `src/prm/preprocessing.py` lines 14-62
(`get_fover_input_format`) and `src/prm/postprocessing.py` lines 89-122 (`extract_fover_scores`).

One departure: the authors find the read position by single tokens (`assistant` among them); the tests' tokenizer
spells that word in several, so the whole header is matched.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

FIRST_STEP = """** Problem **
{problem}

** Task **
Your task is to evaluate the accuracy of each step in the provided solution to the above question. For each step, \
respond with "correct" if the reasoning is logically valid and mathematically sound, or if the step is a general \
statement or transition that does not contain reasoning. Respond with "incorrect" if the step includes any errors or \
flawed logic.

** Sotluion **
{first_step}"""

HEADERS = {
    "llama": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen2": "<|im_start|>assistant\n",
}


def get_fover_input_format(problem: str, solution_steps: list[str]) -> list[dict[str, str]]:
    conversation = [
        {"role": "user", "content": FIRST_STEP.format(problem=problem, first_step=solution_steps[0])},
        {"role": "assistant", "content": "correct"},
    ]
    for step in solution_steps[1:]:
        conversation.append({"role": "user", "content": step})
        conversation.append({"role": "assistant", "content": "correct"})
    return conversation


def step_rewards(path: Path, problem: str, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    rendered = tokenizer.apply_chat_template(get_fover_input_format(problem, steps), tokenize=False)
    ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    header = tokenizer.encode(HEADERS[model.config.model_type], add_special_tokens=False)
    width = len(header)
    positions = [end - 1 for end in range(width, len(ids) + 1) if ids[end - width : end] == header]
    positive = tokenizer.encode("correct", add_special_tokens=False)[0]
    negative = tokenizer.encode("incorrect", add_special_tokens=False)[0]
    with torch.inference_mode():
        selected = model(torch.tensor([ids])).logits[0][positions]
    pair = torch.stack([selected[:, negative], selected[:, positive]], dim=1)
    return torch.nn.functional.softmax(pair, dim=1)[:, 1].tolist()
