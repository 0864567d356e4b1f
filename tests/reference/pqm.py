"""PQM's own scripts and compute-optimal-tts, transcribed.

WindyLee0822/Process_Q_Model at c5a2a02e2693e7751f3f03fb3b01a1b162a9bf52: `bon_eval_hf.py` lines 38-50
(`instruction_format`), 187-213 (`data_collator`), 283-289 (steps and answer) and 295-305 (values at the marker);
`train_main.py` lines 105-106 (`instruction_format`) and 205-215 (`data_collator`).
RyanLiu112/compute-optimal-tts at 0ee2578af1f8d6cac445c9c4c72780528bb94556: `src/reason/evaluation/evaluate.py` lines
156-159 (the format), `src/reason/inference/rm_call.py` lines 274-277 and `infer_fns.py` lines 171-180.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from reference.value_head import values

INSTRUCTIONS = {
    "evaluation": "Below is an instruction that describes a task.\nWrite a response that appropriately completes the "
    "request.\n\n### Instruction:\n{s}\n\n### Response: Let's think step by step",
    "training": "[INST] {s} [/INST]",
}
FORMATS = {"compute_optimal_tts": "{question}\n{answer}", "compute_optimal_tts_space": "{question} {answer}"}


def step_rewards(path: Path, problem: str, steps: list[str], prompt: str = "evaluation") -> list[float]:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    if prompt in FORMATS:
        answer = "\n".join(f"{step.strip()} [PRM]" for step in steps)
        input_ids = tokenizer.encode(FORMATS[prompt].format(question=problem, answer=answer))
    else:
        query = INSTRUCTIONS[prompt].replace("{s}", problem)
        bare = [re.sub(r"^\s*Step \d+:", "", step) for step in steps]
        numbered = [f"Step {id + 1}: " + step.strip() for id, step in enumerate(bare)]
        answer = " [PRM]\n".join(numbered) + " [PRM]"
        input_ids = tokenizer.encode(f"{query}\n{answer}", add_special_tokens=False)
    step_tag_id = tokenizer.encode("[PRM]", add_special_tokens=False)[-1]
    return values(path, input_ids, "v_head.summary")[torch.tensor(input_ids) == step_tag_id].tolist()
