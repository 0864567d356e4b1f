"""Judges: the authors' prompts and readings, over scripted texts (script.py) in place of what their servers sample.

ids: every prompt in the order of the steps, then what is written to read a verdict.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from itertools import takewhile
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from theirs import script
from theirs.cut import branch, cut, module, statement
from theirs.job import Case, Job, sequences

SAMPLES = 8


class Sampler:
    """What stands in for `vllm.LLM`: writes what the script says, and remembers the ids of its prompts."""

    def __init__(self, tokenizer: Any, write: script.Writer) -> None:
        self.tokenizer, self.write = tokenizer, write
        self.prompts: list[list[int]] = []

    def text(self, prompt: str, stop: list[str], *, keep: bool = False, sample: int = 0) -> str:
        ids = self.tokenizer(prompt).input_ids
        if sample == 0:
            self.prompts.append(ids)
        return script.stopped(self.write(prompt, script.choice(ids, sample)), stop, keep=keep)

    def generate(self, prompt: str, sampling_params: Any, use_tqdm: bool) -> list[Any]:
        text = self.text(prompt, sampling_params.stop, keep=sampling_params.include_stop_str_in_output)
        words = script.words(text)
        output = SimpleNamespace(
            text=text,
            token_ids=[self.tokenizer.encode(word)[-1] for word, _ in words],
            logprobs=[
                {self.tokenizer.encode(each)[-1]: SimpleNamespace(logprob=value) for each, value in top.items()}
                for _, top in words
            ],
        )
        return [SimpleNamespace(outputs=[output])]


def critic(job: Job, cases: list[Case]) -> list[Any]:
    """prepare_input_boxed, apply_chat_template and the vote of main; `rewards` marks the step that was voted for."""
    root = job.file("QwenLM/ProcessBench/code")
    names = ("extract_answer", "prepare_input_boxed", "apply_chat_template")
    theirs = cut(root / "run_eval.py", *names, re=re)
    template = (root / "templates/critique_template.txt").read_text().strip()
    tokenizer, found = job.tokenizer(), []
    for problem, steps in cases:
        messages = theirs.prepare_input_boxed(template, {"problem": problem, "steps": steps})
        ids = theirs.apply_chat_template(tokenizer, messages)
        prompt = tokenizer.decode(ids)
        critiques = [script.critique(prompt, script.choice(ids, sample)) for sample in range(SAMPLES)]
        preds = [each for each in map(theirs.extract_answer, critiques) if each is not None]
        pred = branch(root / "run_eval.py", "most_common", preds=preds, Counter=Counter).pred
        found.append(sequences([ids], [float(step == pred) for step in range(len(steps))]))
    return found


def r_prm(job: Job, cases: list[Case]) -> list[Any]:
    """get_critique_prompt, split_text and the scoring loop of evaluate-PRM-CoT.py."""
    root = job.file("NJUNLP/R-PRM/src")
    evaluate = root / "evaluate/GenPRM/evaluate-PRM-CoT.py"
    search = cut(root / "reward-guide-search/code/GenPRM-Greedy-Seach-Zero-Shot.py", "get_critique_prompt")
    clean = cut(root / "utils/inference.py", "split_text").split_text
    file = (root / "prompts/GenPRM/GenPRM-evaluate-new3-qwen.txt").read_text()
    tokenizer, model, found = job.tokenizer(), job.causal(), []
    yes, no = (tokenizer.encode(word, add_special_tokens=False)[0] for word in (" Yes", " No"))
    for problem, steps in cases:
        numbered = [s if s.startswith(f"Step {n + 1}:") else f"Step {n + 1}: {s}" for n, s in enumerate(steps)]
        sampler, read, data, responses = Sampler(tokenizer, script.analysis), [], [], []
        for n, step in enumerate(numbered):
            prompt = search.get_critique_prompt(problem, numbered[:n], step, file.strip())
            text = sampler.text(prompt, ["<|eot_id|>"])
            responses.append({"response": [clean(text.strip().strip("\\").strip("\\n").strip())]})
            previous = prompt.split("\nPrevious Steps: ")[1].split("\nNow Step: ")[0]
            data.append({"id": n, "question": problem, "previous_steps": previous, "now_step": step})

        def watched(ids: Any, read: list[list[int]] = read) -> Any:
            read += [[*ids[0].tolist(), yes], [*ids[0].tolist(), no]]
            return SimpleNamespace(logits=model(ids, num_logits_to_keep=1).logits)

        watched.device = "cpu"
        names = {"data": data, "responses": responses, "tokenizer": tokenizer, "model": watched, "prompt": file,
                 "torch": torch, "tqdm": list, "save_dataset": []}  # fmt: skip
        scored = statement(evaluate, "save_dataset.append", **names).save_dataset
        found.append(sequences(sampler.prompts + read, [each["yes_probability_average"] for each in scored]))
    return found


def think_prm(job: Job, cases: list[Case]) -> list[Any]:
    """APIThinkPRMVerifier.predict_correctness_batch, over prefixes, with a stand-in for sglang."""
    tokenizer, model = job.tokenizer(), job.causal()
    sys.modules["sglang"] = _sglang(lambda: server)
    root = job.file("mukhal/ThinkPRM")
    verifier = module(root / "prm", "thinkprm_api", root).APIThinkPRMVerifier
    prm, found = verifier(model_name_or_path=str(job.checkpoint), process_verifier=True), []
    for problem, steps in cases:
        server = Server(Sampler(tokenizer, script.verification), model)
        prefixes = [steps[: n + 1] for n in range(len(steps))]
        scored = prm.predict_correctness_batch([problem] * len(steps), prefixes)
        found.append(sequences(server.sampler.prompts + server.read, [score for score, _ in scored]))
    return found


class Server:
    """What stands in for an sglang server: scripted texts, and the model's own log-probabilities of choices."""

    def __init__(self, sampler: Sampler, model: Any) -> None:
        self.sampler, self.model = sampler, model
        self.read: list[list[int]] = []

    def means(self, text: str, choices: list[str]) -> list[float]:
        """The mean log-probability of the tokens in which the texts differ, and of no token of the prompt."""
        written = [self.sampler.tokenizer.encode(text + each) for each in choices]
        shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(*written, strict=False))))
        self.read += written
        means = []
        for ids in written:
            kept = len(ids) - shared + 1
            with torch.no_grad():
                logits = self.model(torch.tensor([ids]), num_logits_to_keep=kept).logits[0]
            logs = logits.log_softmax(-1)[:-1]
            means.append(logs[torch.arange(kept - 1), torch.tensor(ids[shared:])].mean().item())
        return means


class State:
    """sglang's interpreter state, as far as cot_eval uses it."""

    def __init__(self, server: Server, text: str = "") -> None:
        self.server, self.text = server, text
        self.said: dict[str, str] = {}
        self.meta: dict[str, dict[str, list[float]]] = {}

    def fork(self, n: int) -> list[State]:
        return [State(self.server, self.text) for _ in range(n)]

    def __iadd__(self, more: Any) -> State:
        if isinstance(more, str):
            self.text += more
        elif more.choices:
            means = self.server.means(self.text, more.choices)
            self.meta[more.name] = {"normalized_prompt_logprobs": means}
            self.said[more.name] = more.choices[means.index(max(means))]
        else:
            self.said[more.name] = self.server.sampler.text(self.text, more.stop)
            self.text += self.said[more.name]
        return self

    def __getitem__(self, name: str) -> str:
        return self.said[name]

    def get_meta_info(self, name: str) -> dict[str, list[float]]:
        return self.meta[name]


def _sglang(server: Any) -> ModuleType:
    def function(body: Any) -> Any:
        def run_batch(calls: list[dict[str, Any]]) -> None:
            for call in calls:
                body(State(server()), **call)

        return SimpleNamespace(run_batch=run_batch)

    def gen(name: str, choices: Any = None, stop: Any = None, **_: Any) -> Any:
        return SimpleNamespace(name=name, choices=choices, stop=stop)

    made = ModuleType("sglang")
    vars(made).update(function=function, gen=gen, set_default_backend=lambda _: None, RuntimeEndpoint=str)
    return made


def gen_prm(job: Job, cases: list[Case]) -> list[Any]:
    """GenPRM.inference, analyze and verify without execution, over the loop of prm_evaluate.py."""
    root = job.file("RyanLiu112/GenPRM/src")
    file = root / "prm_evaluation/prm_evaluate.py"
    build_prompt = cut(root / "utils/util.py", "build_prompt").build_prompt
    made = cut(root / "prm_evaluation/genprm_inference.py", "GenPRM", build_prompt=build_prompt, re=re, math=math,
               SamplingParams=SimpleNamespace, cprint=print, timestamped_print=lambda *_, **__: None, TEMPERATURE=0.6,
               TOP_P=0.95, TOP_K=20, REPETITION_PENALTY=1.0, **{"__name__": "cut"})  # fmt: skip
    tokenizer, found = job.tokenizer(), []
    args = SimpleNamespace(
        analyze=True, verify=True, execute=False,
        analyze_template="<analyze>\nLet's analyze the Paragraph {cur_step} step by step: ",
        verify_template="<verify>\nLet's use python code to find any potential error:\n```python\n",
        output_template=script.VERDICT,
    )  # fmt: skip
    for problem, steps in cases:
        judge = made.GenPRM.__new__(made.GenPRM)
        judge.model, judge.tokenizer = Sampler(tokenizer, script.stages), tokenizer
        message = branch(file, "args.analyze or args.verify", args=args).message
        data = [f"{problem}\n{steps[0]}", *steps[1:]]
        statement(file, "message['conversation'].append", data_input=data, message=message)
        names = {"conversation": message["conversation"], "args": args, "genprm": judge, "code_executor": None,
                 "cur_step": 0, "step_scores": []}  # fmt: skip
        scored = statement(file, "genprm.inference", **names).step_scores
        found.append(sequences(judge.model.prompts, scored))
    return found
