"""Families read from a language model's own vocabulary."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from theirs.cut import cut, module
from theirs.job import Case, Job, Recorder, result
from torch.nn.utils.rnn import pad_sequence


def implicit(job: Job, cases: list[Case]) -> list[Any]:
    """prm_eval_utils.py: implicit_prm_data_collator, get_logps and get_reward."""
    file = job.file("PRIME-RL/ImplicitPRM/eval/prm_eval_utils.py")
    cpu = SimpleNamespace(device="cpu", gather=lambda value: value)
    theirs = cut(file, "implicit_prm_data_collator", "get_logps", "get_reward", "compute_beta", torch=torch,
                 pad_sequence=pad_sequence, gather_object=lambda value: value)  # fmt: skip
    tokenizer, model, reference = job.tokenizer(), job.causal(), job.causal(job.base)
    found = []
    for problem, steps in cases:
        row = {"query": problem, "answer": _numbered(steps), "idx": 0, "reward_idx": 0}
        inputs = theirs.implicit_prm_data_collator([row], tokenizer, None, cpu, "implicit_prm")
        with torch.no_grad():
            logs = theirs.get_logps(reference, inputs, "implicit_prm")
        rewards, _ = theirs.get_reward(model, inputs, "implicit_prm", cpu, ref_per_token_logps=logs)
        values = rewards["w/ ref"]["constant+coef-0.001"][job.options["values"]]
        found.append(result(inputs["input_ids"][0], values[0]))
    return found


def implicit_processbench(job: Job, cases: list[Case]) -> list[Any]:
    """processbench.py: build_item_tensors, get_logps and the sum of its scoring loop."""
    file = job.file("PRIME-RL/ImplicitPRM/eval/processbench.py")
    theirs = cut(file, "build_item_tensors", "get_logps", torch=torch)
    tokenizer, model, reference = job.tokenizer(), job.causal(), job.causal(job.base)
    found = []
    for problem, steps in cases:
        ids, mask, labels, ends = theirs.build_item_tensors({"query": problem, "answer": _numbered(steps)}, tokenizer)
        inputs = {"input_ids": ids[None], "attention_mask": mask[None], "labels": labels[None]}
        raw = theirs.get_logps(model, inputs) - theirs.get_logps(reference, inputs)
        answer = torch.arange(raw.shape[-1]) >= ends[0]
        sums = (0.005 * raw * answer).cumsum(-1)[0]
        found.append(result(ids, sums[ends[1:]]))
    return found


def _numbered(steps: list[str]) -> list[str]:
    import re

    return [s if re.match(r"Step \d+:", s) else f"Step {n + 1}: {s}" for n, s in enumerate(steps)]


def math_shepherd(job: Job, cases: list[Case]) -> list[Any]:
    """PRMBench: getitem_function writes the text; the softmax of its respond over `+` and `-`."""
    theirs = cut(job.file("ssmisya/PRMBench/mr_eval/models/math_shepherd.py"), "getitem_function")
    tokenizer, model, found = job.tokenizer(), job.causal(), []
    wrapper = SimpleNamespace(tokenizer=tokenizer, step_tag="ки")
    pair = tokenizer.encode("+ -")[1:]
    tag = tokenizer.encode("ки")[-1]
    for problem, steps in cases:
        ids = theirs.getitem_function(wrapper, [{"idx": 0, "steps": steps, "question": problem}], 0)["input_ids"]
        with torch.no_grad():
            scores = model(ids[None]).logits[0][:, pair].softmax(dim=-1)[:, 0]
        found.append(result(ids, scores[ids == tag]))
    return found


def openr(job: Job, cases: list[Case]) -> list[Any]:
    """prm/infer_fns.py, over the text of RewardModelCallingFunction.replace_step_tag."""
    root = job.file("openreasoner/openr")
    infer = module(root / "prm", "infer_fns")
    caller = cut(root / "reason/inference/rm_call.py", "replace_step_tag")
    tag, function = {
        "math_shepherd": ("ки\n", infer._math_shepherd_infer_fn),
        "math_psa": ("\n\n\n\n\n ", infer._qwen_math_infer_fn),
    }[job.options["name"]]
    tokenizer, model, found = job.tokenizer(), Recorder(job.causal()), []
    for problem, steps in cases:
        answer = caller.replace_step_tag(SimpleNamespace(step_tag=tag), "<SPLIT>".join(steps), "<SPLIT>")
        rewards = function(f"{problem} {answer}", model, tokenizer, "cpu")
        found.append(result(model.ids, rewards))
    return found


def rlhflow(job: Job, cases: list[Case]) -> list[Any]:
    """select_sample: one forward for each step."""
    file = job.file("RLHFlow/RLHF-Reward-Modeling/math-rm/prm_evaluate.py")
    theirs = cut(file, "select_sample", torch=torch)
    tokenizer, model, found = job.tokenizer(), Recorder(job.causal()), []
    tokens = [tokenizer.encode("+")[-1], tokenizer.encode("-")[-1]]
    args = SimpleNamespace(num_n=1, model_type="Mistral")
    for problem, steps in cases:
        sample = {"prompt": problem, "answers": ["ки\n".join(steps)], "label": [1]}
        _, scored = theirs.select_sample(args, sample, model, tokenizer, tokens, "cpu")
        found.append(result(model.ids, scored["step_scores"][0]))
    return found


def er_prm(job: Job, cases: list[Case]) -> list[Any]:
    """select_sample, which keeps the minimum; the steps' own scores come from the logits of its forward."""
    file = job.file("hanningzhang/ER-PRM/evaluation/evaluate_math_reward_model.py")
    theirs = cut(file, "select_sample", torch=torch, replace={".to(0)": ".to('cpu')"})
    tokenizer, model, found = job.tokenizer(), Recorder(job.causal()), []
    tokenizer.pad_token = tokenizer.eos_token
    tag = tokenizer.encode(" ки")[-1]
    pair = [tokenizer.encode(" +")[-1], tokenizer.encode(" -")[-1]]
    for problem, steps in cases:
        answer = " " + "".join(f"{step.strip()} ки\n" for step in steps)
        sample = {"prompt": problem, "answers": [answer]}
        args = SimpleNamespace(num_samples=1)
        _, scored = theirs.select_sample(0, sample, model, tokenizer, pair, tag, args)
        scores = model.answer.logits[0][:, pair].softmax(dim=-1)[:, 0][torch.tensor(model.ids) == tag]
        assert abs(min(scores).item() - scored[0][1]) < 1e-7
        found.append(result(model.ids, scores))
    return found


def versa_prm(job: Job, cases: list[Case]) -> list[Any]:
    """LlamaPRM, over the text of get_rewards_reasoning_step.py."""
    theirs = module(job.file("UW-Madison-Lee-Lab/VersaPRM/evaluation"), "prm_models.prm_llama")
    prm = theirs.LlamaPRM(device="cpu", model_id=str(job.checkpoint))
    return _beams(prm, lambda text: prm([text])[0].score, cases)


def multi_rm(job: Job, cases: list[Case]) -> list[Any]:
    """RewardModel of Multi-RM's discriminative PRM, over the same text."""
    theirs = module(job.file("db-Lee/Multi-RM/discriminative"), "reward_model")
    prm = theirs.RewardModel(device="cpu", model_id=str(job.checkpoint))
    return _beams(prm, prm._RewardModel__call_single, cases)


def _beams(prm: Any, score: Any, cases: list[Case]) -> list[Any]:
    prm.model, found = Recorder(prm.model), []
    for problem, steps in cases:
        tag = " \n\n\n\n"
        text = f"{problem.strip()} \n\n" + "".join(f"{step.strip().replace(tag, '')}{tag}" for step in steps)
        rewards = score(text)
        found.append(result(prm.model.ids, rewards))
    return found


def fover(job: Job, cases: list[Case]) -> list[Any]:
    """get_fover_input_format and extract_fover_scores, as the README calls them."""
    root = job.file("psunlpgroup/FoVer/src/prm")
    write, read = module(root, "preprocessing"), module(root, "postprocessing")
    tokenizer, model, found = job.tokenizer(), job.causal(), []
    for problem, steps in cases:
        conversation = write.get_fover_input_format(problem=problem, solution_steps=steps)
        ids = tokenizer.apply_chat_template(conversation, tokenize=True, add_generation_prompt=False)
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        found.append(result(ids, read.extract_fover_scores(np.array(ids), logits, tokenizer)))
    return found
