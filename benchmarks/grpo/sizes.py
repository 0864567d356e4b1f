"""The runs, how large they are by their flags (what three of them on one CPU core allow), and names in their logs."""

from __future__ import annotations

import argparse

ACCURACY, SECONDS = "held_out_accuracy", "seconds"
"""What is added to the trainer's log."""
REWARDS = ("process", "outcome", "blend")
WARM_UP_STEPS = 10
SIZES = {
    "steps": (36, "updates of the policy"),
    "prompts": (2, "problems of a step"),
    "group": (8, "completions of each problem"),
    "max_tokens": (40, "tokens of a completion at most"),
    "held_out": (64, "problems of which accuracy is measured"),
    "every": (6, "steps between two measurements, and between two checkpoints"),
}


def add_sizes(parser: argparse.ArgumentParser) -> None:
    for name, (default, what) in SIZES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=what)
