"""One run of TRL's GRPOTrainer, whose rewards come from the service that PRM_URL names; continued if it was stopped.

PRM_URL=http://127.0.0.1:8000 python -m benchmarks.grpo.train --run process --policy FOLDER --out FOLDER
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import GRPOConfig, GRPOTrainer

from benchmarks.grpo.policy import accuracy, load_policy
from benchmarks.grpo.problems import held_out_problems, training_problems
from benchmarks.grpo.rewards import reward_function
from benchmarks.grpo.sizes import ACCURACY, REWARDS, SECONDS, add_sizes

LEARNING_RATE = 5e-4
MICRO_BATCH = 4
"""Completions of one backward; it divides those of a step."""
LORA = LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj", "o_proj"], task_type="CAUSAL_LM")


@dataclass(frozen=True, slots=True)
class Run:
    """reward: one of REWARDS. policy: folder of the policy to begin with. The sizes are those of `SIZES`."""

    reward: str
    policy: Path
    out: Path
    steps: int
    prompts: int
    group: int
    max_tokens: int
    held_out: int
    every: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", choices=REWARDS, required=True)
    parser.add_argument("--policy", type=Path, required=True, help="folder of the policy to begin with")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and of the record")
    add_sizes(parser)
    given = vars(parser.parse_args())
    train(Run(reward=given.pop("run"), **given))


def train(run: Run) -> None:
    """Train to the last step, from the last checkpoint in `run.out` if it has one."""
    run.out.mkdir(parents=True, exist_ok=True)
    last = get_last_checkpoint(str(run.out))  # type: ignore[no-untyped-call]
    if (run.out / f"checkpoint-{run.steps}").is_dir():  # which the trainer would continue by one more step
        return
    model, tokenizer = load_policy(run.policy)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward_function(run.reward, run.out / "rewards.jsonl"),
        args=_settings(run),
        train_dataset=Dataset.from_list(
            [{"prompt": each.prompt, "answer": str(each.answer)} for each in training_problems(run.held_out)]
        ),
        processing_class=tokenizer,
        callbacks=[HeldOutAccuracy(run, tokenizer)],
        peft_config=LORA,
    )
    trainer.train(resume_from_checkpoint=last)


def _settings(run: Run) -> GRPOConfig:
    return GRPOConfig(
        output_dir=str(run.out),
        max_steps=run.steps,
        per_device_train_batch_size=MICRO_BATCH,
        gradient_accumulation_steps=run.prompts * run.group // MICRO_BATCH,
        num_generations=run.group,
        max_completion_length=run.max_tokens,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        logging_steps=1,
        save_steps=run.every,
        save_total_limit=2,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )


class HeldOutAccuracy(TrainerCallback):
    """Measures it every few steps into the trainer's own log, so that it survives in its checkpoints."""

    def __init__(self, run: Run, tokenizer: Any) -> None:
        self._run, self._tokenizer = run, tokenizer
        self._problems = held_out_problems(run.held_out)
        self._started = time.perf_counter()

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        seconds = time.perf_counter() - self._started
        state.log_history.append({"step": state.global_step, SECONDS: seconds})
        if state.global_step % self._run.every == 0:
            share = accuracy(rest["model"], self._tokenizer, self._problems, self._run.max_tokens)
            state.log_history.append({"step": state.global_step, ACCURACY: share})
            print(f"{self._run.reward} step {state.global_step}: held-out accuracy {share:.3f}", flush=True)


if __name__ == "__main__":
    main()
