"""Families read from a language model's own vocabulary."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from theirs.cut import cut, module
from theirs.job import Case, Job, Recorder, result, sequences
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


def rlhflow_vocabulary(job: Job, cases: list[Case]) -> list[Any]:
    """PRMBench's wrapper: getitem_function, and the share of `+` in the whole vocabulary, as its respond reads it."""
    file = job.file("ssmisya/PRMBench/mr_eval/models/llama3_1_8b_prm.py")
    utils = job.file("ssmisya/PRMBench/mr_eval/utils/model_utils.py")
    helpers = cut(utils, "remove_step_prefix", "find_subsequence", re=re, torch=torch)
    theirs = cut(file, "getitem_function", remove_step_prefix=helpers.remove_step_prefix)
    tokenizer, model, found = job.tokenizer(), job.causal(), []
    pattern = torch.tensor([128006, 78191, 128007, 271, 10, 128009])
    for problem, steps in cases:
        row = {"idx": 0, "steps": steps, "question": problem}
        ids = theirs.getitem_function(SimpleNamespace(tokenizer=tokenizer), [row], 0)["input_ids"]
        reads = [at + 3 for at in helpers.find_subsequence(ids, pattern)]
        with torch.no_grad():
            probabilities = model(ids[None]).logits[0][reads].softmax(dim=-1)
        found.append(result(ids, probabilities[:, 10]))
    return found


def path_finder(job: Job, cases: list[Case]) -> list[Any]:
    """PathFinderPRM.inference_single, over the messages of the ProcessBench script's single_process."""
    root = job.file("declare-lab/PathFinder-PRM/src/evaluation")
    quiet = SimpleNamespace(info=lambda *_: None)
    prm = cut(root / "reward_guided_search/PathFinderPRM.py", "PathFinderPRM", torch=torch, F=torch.nn.functional,
              logger=quiet, **{"__name__": "cut"}).PathFinderPRM  # fmt: skip
    scorer = prm.__new__(prm)
    scorer.tokenizer, scorer.model = job.tokenizer(), _Keywords(job.causal())
    scorer.pos_token_id, scorer.neg_token_id = (scorer.tokenizer.encode(each)[0] for each in ("<+>", "<->"))
    script = root / "ProcessBench/code/run_eval_pathfinder_prm.py"
    prompt = next(line for line in script.read_text().splitlines() if line.startswith("SYSTEM_PROMPT="))
    instruction, found = prompt.partition("=")[2].strip('"'), []
    for problem, steps in cases:
        scorer.model.calls, rewards, seen = [], [], []

        def score(messages: list[dict[str, str]], rewards: Any = rewards, seen: Any = seen) -> bool:
            scorer.model.calls = []
            rewards.append(scorer.inference_single([dict(each) for each in messages]))
            seen.append(scorer.model.calls)
            return False

        cut(script, "single_process", inference_single=score, SYSTEM_PROMPT=instruction).single_process(
            {"problem": problem, "steps": steps}
        )
        found.append(
            sequences([ids for calls in seen for ids in (calls if len(calls) == 2 else [*calls, []])], rewards)
        )
    return found


class _Keywords(Recorder):
    def __call__(self, **inputs: Any) -> Any:
        return super().__call__(inputs.pop("input_ids"), **inputs)
