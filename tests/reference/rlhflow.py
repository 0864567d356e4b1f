"""RLHFlow's `select_sample` loop, transcribed: one forward for each step, read three tokens before the end.

RLHFlow/RLHF-Reward-Modeling at fc39179f5a9a4dd75047a4c0311672905b9d9a04: `math-rm/prm_evaluate.py` lines 36-71.
ssmisya/PRMBench at a1ae4eab803e14c4c6316bf89d1679b0486faa8c: `mr_eval/models/llama3_1_8b_prm.py` lines 52-112
(the whole vocabulary).
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def step_rewards(
    path: Path, problem: str, steps: list[str], *, joint: str = " ", whole_vocabulary: bool = False
) -> list[float]:
    """joint: what stands between problem and first step. whole_vocabulary: PRMBench's probability of `+`."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    plus_tag_id = tokenizer.encode("+")[-1]
    minus_tag_id = tokenizer.encode("-")[-1]
    candidate_tokens = [plus_tag_id, minus_tag_id]
    ans_list = [step.strip() for step in steps]
    conversation: list[dict[str, str]] = []
    single_step_score = []
    for k in range(len(ans_list)):
        text = problem + joint + ans_list[0] if k == 0 else ans_list[k]
        conversation.append({"content": text, "role": "user"})
        conversation.append({"content": "+", "role": "assistant"})
        rendered = tokenizer.apply_chat_template(conversation, tokenize=False)
        input_ids = tokenizer(rendered, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            logits = model(input_ids).logits[:, -3, :]
        if whole_vocabulary:
            single_step_score.append(logits.softmax(dim=-1)[0, plus_tag_id].item())
        else:
            single_step_score.append(logits[:, candidate_tokens].softmax(dim=-1)[0, 0].item())
    return single_step_score
