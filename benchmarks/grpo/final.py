"""Accuracy before and after each run, on more held-out problems than a run measures, with 95% intervals.

python -m benchmarks.grpo.final --out runs/grpo --problems 256
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from peft import PeftModel
from scipy.stats import binomtest
from transformers.trainer_utils import get_last_checkpoint

from benchmarks.grpo.policy import accuracy, load_policy
from benchmarks.grpo.problems import fresh_problems
from benchmarks.grpo.sizes import REWARDS, SIZES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/grpo"), help="folder of the policy and of the runs")
    parser.add_argument("--problems", type=int, default=256)
    options = parser.parse_args()
    problems = fresh_problems(options.problems)
    print("| policy | right | 95% interval |\n|---|---|---|", flush=True)
    for name in ("before", *REWARDS):
        model: Any
        model, tokenizer = load_policy(options.out / "policy")
        if name != "before":
            last = get_last_checkpoint(str(options.out / name))  # type: ignore[no-untyped-call]
            model = PeftModel.from_pretrained(model, last)
        share = accuracy(model, tokenizer, problems, SIZES["max_tokens"][0])
        low, high = binomtest(round(share * len(problems)), len(problems)).proportion_ci(method="wilson")
        print(f"| {name} | {share:.1%} of {len(problems)} | {low:.1%} to {high:.1%} |", flush=True)


if __name__ == "__main__":
    main()
