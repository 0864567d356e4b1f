"""Outcome reward models, once for each prefix of the steps: the procedure of arXiv 2501.07301."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from theirs.cut import cut
from theirs.job import Case, Job, Recorder, sequences
from transformers import AutoConfig, AutoModelForSequenceClassification

sys.path.insert(0, str(Path(__file__).parents[2]))

from reference.armo_rm import LlamaForRewardModelWithGating

Message = dict[str, str]


def _conversations(problem: str, steps: list[str], system: str = "") -> list[list[Message]]:
    opening = [{"role": "system", "content": system}] if system else []
    answers = ["\n\n".join(steps[: n + 1]) for n in range(len(steps))]
    user = {"role": "user", "content": problem}
    return [[*opening, user, {"role": "assistant", "content": answer}] for answer in answers]


def reward_bench(job: Job, cases: list[Case]) -> list[Any]:
    """RewardBenchPipeline, over the chat as the checkpoint's template renders it; a doubled BOS is masked, not read."""
    file = job.file("allenai/reward-bench/rewardbench/models/pipeline.py")
    theirs = cut(file, "RewardBenchPipeline", "disable_dropout_in_model", torch=torch, replace={'"cuda"': '"cpu"'},
                 **{"__name__": "cut"})  # fmt: skip
    tokenizer, found = job.tokenizer(), []
    # As the published tokenizers' own classes have it; the general class names token types too.
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    model = AutoModelForSequenceClassification.from_pretrained(job.checkpoint, num_labels=1, torch_dtype=torch.float32)
    pipeline = theirs.RewardBenchPipeline("reward", model, tokenizer)
    for problem, steps in cases:
        ids, rewards = [], []
        for messages in _conversations(problem, steps, job.options["system"]):
            text = tokenizer.apply_chat_template(messages, tokenize=False)
            logits, inputs = pipeline([text], return_inputs=True)
            ids.append(inputs["input_ids"][inputs["attention_mask"] == 1].tolist())
            rewards.append(logits[0, 0].item())
        found.append(sequences(ids, rewards))
    return found


def _reward_hub(job: Job, name: str, model: Any) -> Any:
    """HuggingFaceOutcomeRewardModel around a model that is loaded already."""
    theirs = cut(job.file("Red-Hat-AI-Innovation-Team/reward_hub/reward_hub/hf/reward.py"),
                 "HuggingFaceOutcomeRewardModel", AbstractOutcomeRewardModel=object, torch=torch, List=list,
                 **{"__name__": "cut"}, replace={"Union[List[List[dict]], List[dict]]": "object"})  # fmt: skip
    scorer = theirs.HuggingFaceOutcomeRewardModel.__new__(theirs.HuggingFaceOutcomeRewardModel)
    scorer.model_name, scorer.model, scorer.tokenizer = name, Recorder(model), job.tokenizer()
    return scorer


def _scored(scorer: Any, cases: list[Case]) -> list[Any]:
    found = []
    for problem, steps in cases:
        scorer.model.calls = []
        rewards = scorer.score(_conversations(problem, steps))
        found.append(sequences(scorer.model.calls, rewards))
    return found


def qwen_math_rm(job: Job, cases: list[Case]) -> list[Any]:
    """reward_hub's score. Qwen2ForRewardModel itself is on the Hub only: its two layers on transformers' Qwen2Model."""
    body, head = job.backbone(), job.layers("score.0", "score.2")

    def last_before_padding(input_ids: Any) -> Any:
        logits = head(body(input_ids=input_ids)[0])
        at = torch.eq(input_ids, body.config.pad_token_id).int().argmax(-1) - 1
        return (logits[torch.arange(len(input_ids)), at % input_ids.shape[-1]],)

    return _scored(_reward_hub(job, "Qwen/Qwen2.5-Math-RM-72B", last_before_padding), cases)


def armo_rm(job: Job, cases: list[Case]) -> list[Any]:
    """reward_hub's score. The class is on the Hub only: our transcription of its modeling_custom.py."""
    model = LlamaForRewardModelWithGating(AutoConfig.from_pretrained(job.checkpoint)).eval()
    model.load_state_dict(load_file(job.checkpoint / "model.safetensors"))
    header = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    pattern = job.tokenizer().encode(header, add_special_tokens=False)
    scorer = _reward_hub(job, "RLHFlow/ArmoRM-Llama3-8B-v0.1", lambda ids: SimpleNamespace(score=model(ids, pattern)))
    return _scored(scorer, cases)
