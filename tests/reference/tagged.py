"""The loops of Math-Shepherd's card, PRMBench, ER-PRM, OpenR and Multi-RM, transcribed: encode the string, softmax two
columns of the logits, keep the positions that hold the tag's id.

ssmisya/PRMBench at a1ae4eab803e14c4c6316bf89d1679b0486faa8c: `mr_eval/models/math_shepherd.py` lines 43-100.
hanningzhang/ER-PRM at 5a996d45fbf9b82c818fd05e27670aac34619355: `evaluation/evaluate_math_reward_model.py` lines
149-190.
openreasoner/openr at 54ae004c69623ebb9a97b22211d6b236033a710d: `prm/infer_fns.py` lines 4-34,
`reason/inference/rm_call.py` lines 27-33 (`replace_step_tag`).
UW-Madison-Lee-Lab/VersaPRM at 81a3c993eb80c38ee3900405bee67405dd79f610: `evaluation/prm_models/prm_llama.py` lines
31-120.
db-Lee/Multi-RM at 65b3e8e17a91a8a85807cb85035bddfd256db861: `discriminative/reward_model.py` lines 16-137.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def tagged(path: Path, text: str, candidate_tokens: list[int], step_tag_id: int, good: int) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    input_id = torch.tensor([tokenizer.encode(text)])
    with torch.inference_mode():
        logits = model(input_id).logits[:, :, candidate_tokens]
        scores = logits.softmax(dim=-1)[:, :, good]
    return scores[input_id == step_tag_id].tolist()


def math_shepherd(path: Path, problem: str, steps: list[str]) -> list[float]:
    """The card's loop over the text that PRMBench builds."""
    good_token, bad_token, step_tag = "+", "-", "ки"
    tokenizer = AutoTokenizer.from_pretrained(path)
    candidate_tokens = tokenizer.encode(f"{good_token} {bad_token}")[1:]
    step_tag_id = tokenizer.encode(f"{step_tag}")[-1]
    res = []
    for idx, step in enumerate(steps):
        if step.strip().startswith("Step") or step.strip().startswith("step"):
            res.append(f"{step.strip()} {step_tag}\n")
        else:
            res.append(f"Step {idx + 1}: {step.strip()} {step_tag}\n")
    return tagged(path, f"{problem} {''.join(res)}", candidate_tokens, step_tag_id, good=0)


def math_shepherd_card(path: Path, problem: str, steps: list[str]) -> list[float]:
    """The card alone: the steps as they stand, joined the way its example is."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    output = "\n".join(f"{step} ки" for step in steps)
    candidate_tokens = tokenizer.encode("+ -")[1:]
    return tagged(path, f"{problem} {output}", candidate_tokens, tokenizer.encode("ки")[-1], good=0)


def er_prm(path: Path, problem: str, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    step_tag_id = tokenizer.encode(" ки")[-1]
    candidate_tokens = [tokenizer.encode(" +")[-1], tokenizer.encode(" -")[-1]]
    answer = "".join(f"{step.strip()} ки\n" for step in steps).replace(" ки\n", " ки")
    return tagged(path, f"{problem} {answer}", candidate_tokens, step_tag_id, good=0)


def math_psa(path: Path, problem: str, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    step_tag = "\n\n\n\n\n"
    candidate_tokens = tokenizer.encode(" + -")
    (step_tag_id,) = tokenizer.encode(f" {step_tag}")
    output = " ".join(f"{step.strip()} {step_tag}" for step in steps)
    return tagged(path, f"{problem} {output}", candidate_tokens, step_tag_id, good=0)


def versa_prm(path: Path, problem: str, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    candidate_tokens = [
        tokenizer.encode("-", add_special_tokens=False)[-1],
        tokenizer.encode("+", add_special_tokens=False)[-1],
    ]
    tag_id = tokenizer.encode(" \n\n\n\n", add_special_tokens=False)[-1]
    cleaned = [step.strip().replace(" \n\n\n\n", "") for step in steps]
    question = problem.strip().replace(" \n\n\n\n", "")
    steps_all = f"{question} \n\n" + "".join(f"{step} \n\n\n\n" for step in cleaned)
    return tagged(path, steps_all, candidate_tokens, tag_id, good=1)
