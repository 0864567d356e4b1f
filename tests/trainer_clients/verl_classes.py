"""Our functions inside verl's own classes, in an environment of its own: `verl_classes.py TOKENIZER` prints rewards.

verl's own code loads them (`load_reward_manager`, `resolve_reward_manager_cls`), holds the samples (DataProto), sends
them (`RewardLoopWorker.compute_score_batch`) and assembles the tensor. Only the worker's `__init__`, which fetches a
policy's tokenizer, is not run. PRM_URL names the service.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from transformers import PreTrainedTokenizerFast
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
from verl.protocol import DataProto
from verl.trainer.ppo.reward import load_reward_manager, resolve_reward_manager_cls

PROBLEM = "How many eggs does Janet sell a day?"
SOLUTIONS = ["The answer is 9.\nShe sells 9 eggs.", "She sells none."]
OURS = "pkg://stepscore_service.integrations.verl"
NOTHING = {"path": None, "name": None}
MANAGER = {"source": "importlib", "name": "StepRewardManager", "module": {"path": OURS, "name": "ours"}}
NAIVE = {"source": "register", "name": "naive", "module": NOTHING}
FUNCTION = {"path": OURS, "name": "compute_score", "reward_kwargs": {}}
ASKED, SPARE = 4, 3


def config(manager: dict[str, Any], function: dict[str, Any]) -> Any:
    reward = {"reward_manager": manager, "custom_reward_function": function, "reward_model": {"enable": False}}
    return OmegaConf.create({"reward": {**reward, "sandbox_fusion": {"url": None}}})


def batch(rows: list[list[int]], pad: int) -> DataProto:
    """Samples as verl's rollout hands them over: padded at the right, with the columns of the data set."""
    width = max(map(len, rows)) + SPARE
    responses, mask = torch.full((len(rows), width), pad), torch.zeros(len(rows), ASKED + width, dtype=torch.long)
    for place, row in enumerate(rows):
        responses[place, : len(row)], mask[place, : ASKED + len(row)] = torch.tensor(row), 1
    prompts = torch.zeros(len(rows), ASKED, dtype=torch.long)
    tensors = {"prompts": prompts, "responses": responses, "attention_mask": mask}
    columns = {
        "raw_prompt": [{"role": "user", "content": PROBLEM}],
        "data_source": "sums",
        "reward_model": {"ground_truth": "9"},
        "extra_info": {"question": PROBLEM},
    }
    rest = {name: np.empty(len(rows), dtype=object) for name in columns}
    for name, value in columns.items():
        rest[name][:] = [value] * len(rows)
    return DataProto(TensorDict(tensors, batch_size=len(rows)), rest)


def rewarded(data: DataProto, tokenizer: Any, chosen: Any) -> dict[str, Any]:
    """The numbers that verl gets, what it logs, and the places in its tensor that are not 0."""
    worker = object.__new__(RewardLoopWorker)
    worker.config, worker.reward_manager = chosen, load_reward_manager(chosen, tokenizer)
    loop = getattr(worker.reward_manager, "loop", None) or asyncio.new_event_loop()
    found = loop.run_until_complete(worker.compute_score_batch(data))
    scores = [each["reward_score"] for each in found]
    rewards_BT = resolve_reward_manager_cls(chosen).assemble_rm_scores(data, scores)
    placed = [[(int(at), float(row[at])) for at in row.nonzero().flatten()] for row in rewards_BT]
    return {
        "scores": list(map(float, scores)),
        "placed": placed,
        "logged": [each["reward_extra_info"] for each in found],
    }


def main(tokenizer_file: str) -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=tokenizer_file, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    rows = [[*tokenizer(each, add_special_tokens=False).input_ids, tokenizer.eos_token_id] for each in SOLUTIONS]
    data = batch(rows, tokenizer.pad_token_id)
    ways = {"manager": config(MANAGER, NOTHING), "function": config(NAIVE, FUNCTION)}
    found = {name: rewarded(data, tokenizer, chosen) for name, chosen in ways.items()}
    texts = [[tokenizer.decode(row[: at + 1], skip_special_tokens=True) for at in range(len(row))] for row in rows]
    sys.stdout.write(json.dumps({**found, "texts": texts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
