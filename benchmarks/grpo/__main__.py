"""GRPO against a live service, three times: paid for the process, for the outcome, and for a gated blend of both.

    make bench-grpo                      # python -m benchmarks.grpo --out runs/grpo
    python -m benchmarks.grpo --out runs/grpo --report docs/pictures/grpo.svg

The policy (SmolLM2-135M) is warmed up once on worked solutions; each run then continues it with TRL's GRPOTrainer,
whose rewards a `stepscore serve` of its own process gives. What was stopped continues from its last checkpoint when the
command is given again. `--report` only reads what the runs left, draws it and prints the tables.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.grpo.report import draw, tables
from benchmarks.grpo.sizes import REWARDS, SIZES, WARM_UP_STEPS, add_sizes
from benchmarks.proof.server import Service, header

KV_CACHE_BYTES = 1 << 28


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/grpo"), help="folder of the policy and of the runs")
    parser.add_argument("--runs", nargs="+", choices=REWARDS, default=REWARDS, help="which of them")
    parser.add_argument("--at-once", type=int, default=1, help="how many of them at the same time")
    parser.add_argument("--model", default="embedded", help="what is served")
    parser.add_argument("--warm-up", type=int, default=WARM_UP_STEPS, help="steps of the warm-up")
    parser.add_argument("--report", type=Path, help="draw the runs into this file and print their tables")
    add_sizes(parser)
    options = parser.parse_args()
    if options.report:
        draw(options.out, options.report)
        print(tables(options.out))
        return
    print(header("GRPO on word problems", "benchmarks.grpo"), flush=True)
    policy = prepare_policy(options)
    with Service(models=f"prm={options.model}", kv_cache_bytes=str(KV_CACHE_BYTES)) as service:
        train_all(service.url, policy, options)


def prepare_policy(options: argparse.Namespace) -> Path:
    """Warmed up in a process of its own, whose memory is free again afterwards. Ends the script if that fails."""
    folder: Path = options.out / "policy"
    if not (folder / "warm-up.json").exists():
        sizes = flags(options, ("held_out", "max_tokens"))
        warming = start("policy", ["--out", str(folder), "--steps", str(options.warm_up), *sizes])
        if warming.wait():
            raise SystemExit("the warm-up failed")
    return folder


def train_all(url: str, policy: Path, options: argparse.Namespace) -> None:
    """Each run in a process of its own, some at a time. Ends the script if one of them fails."""
    for first in range(0, len(options.runs), options.at_once):
        started = {
            name: start(
                "train",
                ["--run", name, "--policy", str(policy), "--out", str(options.out / name), *flags(options, SIZES)],
                PRM_URL=url,
                HF_HUB_OFFLINE="1",
            )
            for name in options.runs[first : first + options.at_once]
        }
        failed = [name for name, process in started.items() if process.wait()]
        if failed:
            raise SystemExit(f"failed: {', '.join(failed)}; give the command again to continue from the checkpoints")


def flags(options: argparse.Namespace, names: Iterable[str]) -> list[str]:
    return [text for name in names for text in (f"--{name.replace('_', '-')}", str(getattr(options, name)))]


def start(module: str, arguments: Sequence[str], **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"benchmarks.grpo.{module}", *arguments]
    return subprocess.Popen(command, env=os.environ | environment)


if __name__ == "__main__":
    main()
