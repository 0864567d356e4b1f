"""Value heads and class heads: PQM, Skywork, ReasonEval, TRL, PURE, Qwen2.5-Math-PRM, ReasonFlux, ActPRM."""

from __future__ import annotations

import ast
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name in the authors' files)
from theirs.cut import cut, module, statement
from theirs.job import Case, Job, Recorder, result
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForTokenClassification

CPU = SimpleNamespace(device="cpu")


def _pqm_model(job: Job) -> Any:
    values = module(job.file("WindyLee0822/Process_Q_Model"), "value_model")
    model = values.AutoModelForCausalLMWithValueHead(job.causal())
    model.v_head.load_state_dict(job.weights("v_head."))
    return model.eval()


def pqm(job: Job, cases: list[Case]) -> list[Any]:
    """bon_eval_hf.py: instruction_format, the loop that numbers the steps, data_collator, values at `[PRM]`."""
    file = job.file("WindyLee0822/Process_Q_Model/bon_eval_hf.py")
    tokenizer, model, found = job.tokenizer(), _pqm_model(job), []
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    marker = tokenizer.encode("[PRM]", add_special_tokens=False)[-1]
    theirs = cut(file, "instruction_format", "data_collator", torch=torch, pad_sequence=pad_sequence,
                 tokenizer=tokenizer, prm_token_id=marker, accelerator=CPU)  # fmt: skip
    for problem, steps in cases:
        bare = [re.sub(r"^\s*Step \d+:", "", step) for step in steps]
        # Their loop counts the empty text in front of a first mark, so with one the numbers begin at 2.
        first = "Step 1: " if job.options["marked"] else ""
        response = first + "\n".join(f"Step {n + 1}: {step}" if n else step for n, step in enumerate(bare))
        queries = [{"prompt": problem, "response": response, "idx": 0}]
        statement(file, "instruction_format(data['prompt'])", queries=queries, re=re, prm_token="[PRM]",
                  instruction_format=theirs.instruction_format)  # fmt: skip
        inputs = theirs.data_collator(queries)
        with torch.no_grad():
            _, _, rewards = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        found.append(result(inputs["input_ids"][0], rewards.gather(-1, inputs["special_tokens"])[0]))
    return found


def pqm_training(job: Job, cases: list[Case]) -> list[Any]:
    """train_main.py: instruction_format and data_collator; the answer as its generate_dataset writes it."""
    file = job.file("WindyLee0822/Process_Q_Model/train_main.py")
    tokenizer, model, found = job.tokenizer(), _pqm_model(job), []
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    marker = tokenizer.encode("[PRM]", add_special_tokens=False)[-1]
    theirs = cut(file, "instruction_format", "data_collator", torch=torch, pad_sequence=pad_sequence,
                 tokenizer=tokenizer, prm_token_id=marker)  # fmt: skip
    for problem, steps in cases:
        bare = [re.sub(r"^\s*Step \d+:", "", step).strip() for step in steps]
        answer = " [PRM]\n".join(f"Step {n + 1}: {step}" for n, step in enumerate(bare)) + " [PRM]"
        row = {"query": theirs.instruction_format(problem), "answer": answer, "labels": [1] * len(steps)}
        inputs = theirs.data_collator([[row]])
        with torch.no_grad():
            _, _, rewards = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        found.append(result(inputs["input_ids"][0], rewards.gather(-1, inputs["special_tokens"])[0]))
    return found


def pqm_compute_optimal(job: Job, cases: list[Case]) -> list[Any]:
    """_pqm_infer_fn, with the format that evaluate.py writes for a path that contains `pqm`, or does not."""
    root = job.file("RyanLiu112/compute-optimal-tts/src/reason")
    text = (root / "evaluation/evaluate.py").read_text()
    formats = [ast.literal_eval(each) for each in re.findall(r"prm_format_str = (\".*\")", text)]
    assert formats == ["{question}\n{answer}", "{question} {answer}"]
    import copy

    theirs = cut(root / "inference/infer_fns.py", "_pqm_infer_fn", torch=torch, copy=copy)
    tokenizer, model, found = job.tokenizer(), Recorder(_pqm_model(job)), []
    marker = tokenizer.encode("[PRM]", add_special_tokens=False)[-1]
    for problem, steps in cases:
        answer = "".join(f"{step.strip()} ки\n" for step in steps).replace(" ки", " [PRM]")
        prompt = formats[job.options["format"]].format(question=problem, answer=answer)
        (rewards,) = theirs._pqm_infer_fn([prompt], model, tokenizer, "cpu", marker)
        found.append(result(model.ids, rewards))
    return found


def skywork(job: Job, cases: list[Case]) -> list[Any]:
    """prepare_input, PRM_MODEL and derive_step_rewards; a step is read at its last line."""
    root = job.file("SkyworkAI/skywork-o1-prm-inference")
    io, prm = module(root, "model_utils.io_utils"), module(root, "model_utils.prm_model")
    model = prm.PRM_MODEL(job.causal())
    model.v_head.load_state_dict(job.weights("v_head."))
    model.is_peft_model = False
    tokenizer, found = job.tokenizer(), []
    for problem, steps in cases:
        ids, _, flags = io.prepare_input(problem, "\n".join(steps), tokenizer=tokenizer, step_token="\n")
        padded, mask, flags = io.prepare_batch_input_for_model([ids], [flags], tokenizer.pad_token_id)
        with torch.no_grad():
            _, _, rewards = model.eval()(input_ids=padded, attention_mask=mask, return_probs=True)
        lines = io.derive_step_rewards(rewards, flags)[0]
        last = np.cumsum([step.count("\n") + 1 for step in steps]) - 1
        found.append(result(ids, [lines[n] for n in last]))
    return found


def reason_eval(job: Job, cases: list[Case]) -> list[Any]:
    """examples.py: get_results, which prints; its model is watched for the ids."""
    theirs = module(job.file("GAIR-NLP/ReasonEval/codes"), "examples")
    size, printed, seen, found = job.options["size"], [], [], []
    model = getattr(theirs, f"ReasonEval_{size}")
    forward = model.forward

    def watched(self: Any, ids: Any, *args: Any) -> Any:
        seen.append(ids[0].tolist())
        return forward(self, ids, *args)

    model.forward = watched
    theirs.print = printed.append
    args = SimpleNamespace(model_name_or_path=str(job.checkpoint), model_size=size)
    for problem, steps in cases:
        printed.clear()
        theirs.get_results(args, problem, steps)
        found.append(result(seen[-1], ast.literal_eval(printed[0].partition(": ")[2])))
    return found


def trl(job: Job, cases: list[Case]) -> list[Any]:
    """PRMTrainer.tokenize_row; label 1 at the last id of every separator."""
    from itertools import chain

    file = job.file("huggingface/trl/trl/experimental/prm/prm_trainer.py")
    tokenize_row = cut(file, "tokenize_row", chain=chain).tokenize_row
    tokenizer, found = job.tokenizer(), []
    model = AutoModelForTokenClassification.from_pretrained(job.checkpoint, torch_dtype=torch.float32).eval()
    for problem, steps in cases:
        row = {"prompt": problem, "completions": steps, "labels": [True] * len(steps)}
        got = tokenize_row(row, tokenizer, job.options["separator"], None, None, False, True)
        reads = [n for n, label in enumerate(got["labels"]) if label != -100]
        with torch.no_grad():
            logits = model(torch.tensor([got["input_ids"]])).logits[0]
        found.append(result(got["input_ids"], logits.softmax(-1)[reads, 1]))
    return found


def pure(job: Job, cases: list[Case]) -> list[Any]:
    """PRMBench's wrapper: getitem_function and make_step_rewards."""
    file = job.file("ssmisya/PRMBench/mr_eval/models/pure_prm.py")
    theirs = cut(file, "getitem_function", "make_step_rewards", torch=torch)
    tokenizer, found = job.tokenizer(), []
    model = AutoModelForTokenClassification.from_pretrained(job.checkpoint, torch_dtype=torch.float32).eval()
    separator = tokenizer("\n\n", add_special_tokens=False, return_tensors="pt")["input_ids"]
    wrapper = SimpleNamespace(tokenizer=tokenizer, step_separator_token_id=separator)
    for problem, steps in cases:
        got = theirs.getitem_function(wrapper, [{"idx": 0, "steps": steps, "question": problem}], 0)
        with torch.no_grad():
            logits = model(got["input_ids"][None]).logits
        found.append(result(got["input_ids"], theirs.make_step_rewards(logits, got["token_mask"][None])[0]))
    return found


class _ProcessRewardModel:
    """What `AutoModel` gives for Qwen2ForProcessRewardModel; the class itself is on the Hub, not in a repository."""

    def __init__(self, job: Job) -> None:
        self.body, self.head = job.backbone(), job.layers("score.0", "score.2")

    def __call__(self, input_ids: Any) -> Any:
        return (self.head(self.body(input_ids=input_ids)[0]),)


def qwen_math(job: Job, cases: list[Case]) -> list[Any]:
    """reward_hub: HuggingFaceProcessRewardModel.score and make_step_rewards."""
    methods = SimpleNamespace(LAST="last", MODEL="model")
    theirs = cut(
        job.file("Red-Hat-AI-Innovation-Team/reward_hub/reward_hub/hf/reward.py"), "HuggingFaceProcessRewardModel",
        "make_step_rewards", AbstractProcessRewardModel=object, torch=torch, F=F, Union=Any, List=list,
        AggregationMethod=methods, PRMResult=SimpleNamespace, **{"__name__": "cut"},
        replace={"Union[List[List[dict]], List[dict]]": "object", "Union[AggregationMethod, str]": "object",
                 "List[Union[PRMResult, float]]": "object"})  # fmt: skip
    wrapper = theirs.HuggingFaceProcessRewardModel.__new__(theirs.HuggingFaceProcessRewardModel)
    wrapper.model_name, wrapper.tokenizer = "Qwen/Qwen2.5-Math-PRM-7B", job.tokenizer()
    wrapper.model, found = Recorder(_ProcessRewardModel(job)), []
    for problem, steps in cases:
        messages = [{"role": "user", "content": problem}, {"role": "assistant", "content": "<SPLIT>".join(steps)}]
        (scored,) = wrapper.score(messages, "<SPLIT>", None, return_full_prm_result=True)
        found.append(result(wrapper.model.ids, scored.scores))
    return found


def reasonflux(job: Job, cases: list[Case]) -> list[Any]:
    """The README's code with make_step_rewards of utils/rm_utils.py."""
    root = job.file("Gen-Verse/ReasonFlux/ReasonFlux_PRM")
    make_step_rewards = cut(root / "utils/rm_utils.py", "make_step_rewards", torch=torch).make_step_rewards
    readme = (root / "README.md").read_text()
    code = next(part for part in re.findall(r"```python\s*\n(.*?)```", readme, re.DOTALL) if "step_sep_id" in part)
    body = code[code.index("messages = [") : code.index("print(step_reward[0])")]
    tokenizer, model, found = job.tokenizer(), Recorder(_ProcessRewardModel(job)), []
    for problem, steps in cases:
        names = {"problem": problem, "completion": steps, "tokenizer": tokenizer, "model": model, "torch": torch,
                 "make_step_rewards": make_step_rewards}  # fmt: skip
        model.eval = lambda: model
        exec(body, names)
        found.append(result(model.ids, names["step_reward"][0]))
    return found


def act_prm(job: Job, cases: list[Case]) -> list[Any]:
    """EnsembleModel of nets.py, and the example's make_step_rewards; the text as the example writes it."""
    from copy import deepcopy

    root = job.file("sail-sg/ActivePRM")
    nets = cut(root / "src/active_prm/models/nets.py", "EnsembleFC", "_EnsembleModel", "EnsembleModel", "init_weights",
               torch=torch, nn=nn, F=F, np=np, deepcopy=deepcopy, **{"__name__": "cut"})  # fmt: skip
    state = job.weights("score.")
    members, width, inner = state["model.nn1.weight"].shape
    head = nets.EnsembleModel(width, members, inner)
    head.load_state_dict(state)
    body, tokenizer, found = job.backbone(), job.tokenizer(), []
    example = root / "examples/py_scripts/code_snippets.py"
    system = "Please reason step by step, and put your final answer within \\boxed{}."
    assert repr(system)[1:-1] in example.read_text()
    for problem, steps in cases:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": problem},
                    {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"}]  # fmt: skip
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
        ids = tokenizer.encode(text, return_tensors="pt")
        with torch.no_grad():
            hidden = body(input_ids=ids)[0]
            logits = torch.sigmoid(head(hidden[None].repeat(members, 1, 1, 1)))
        outputs = SimpleNamespace(logits=logits[..., 0] if logits.dim() == 4 else logits)
        theirs = cut(example, "make_step_rewards", outputs=outputs)
        masks = ids == tokenizer.encode("<extra_0>")[0]
        found.append(result(ids[0], theirs.make_step_rewards(outputs.logits, masks)[0]))
    return found
