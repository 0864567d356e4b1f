"""A run whose loss or gradient is no longer a number ends there; what was saved before stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import checkpoints_causal as checkpoints
from cli_case import invoke, write

ROWS = [
    {"prompt": f"{n} + 1?", "completions": [f"{n} + 1 = {n + wrong}", "Done."], "labels": [not wrong, None]}
    for n in range(1, 9)
    for wrong in (0, 1)
]


def test_a_step_that_spoils_the_weights_ends_the_run_before_its_checkpoint(tmp_path: Path) -> None:
    base, data, out = (
        checkpoints.causal(tmp_path / "base", "qwen2"),
        write(tmp_path / "rows.jsonl", ROWS),
        tmp_path / "out",
    )
    answer = invoke(
        "train",
        data,
        "--base",
        base,
        "--out",
        out,
        "--learning-rate",
        1e30,
        "--steps",
        8,
        "--batch",
        4,
        "--save-steps",
        1,
    )
    assert answer.exit_code == 3, answer.output
    assert "is not finite" in answer.output
    assert "--learning-rate" in answer.output
    assert not (out / "config.json").exists()
    assert not (out / "checkpoints" / "checkpoint-8").exists()


@pytest.mark.parametrize("layers", [(), ("--lora", 4), ("--objective", "lm", "--output", "causal")])
def test_a_last_step_that_spoils_the_weights_ends_the_run_too(tmp_path: Path, layers: tuple[str | int, ...]) -> None:
    """trl#6702: no loss is computed after the last step, so nothing but the weights themselves could show it."""
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", ROWS)
    run = ["--out", tmp_path / "out", "--learning-rate", 1e30, "--steps", 2, "--batch", 4, *layers]
    answer = invoke("train", data, "--base", base, *run)
    assert answer.exit_code == 3, answer.output
    assert "of step 2 is not finite" in answer.output
    assert not (tmp_path / "out" / "config.json").exists()


def test_training_does_without_the_attention_whose_gradients_are_not_numbers(tmp_path: Path) -> None:
    """pytorch#196678, H100 and H200."""
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", ROWS)
    torch.backends.cuda.enable_cudnn_sdp(True)
    assert invoke("train", data, "--base", base, "--out", tmp_path / "out", "--steps", 1).exit_code == 0
    assert not torch.backends.cuda.cudnn_sdp_enabled()
