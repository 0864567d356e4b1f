"""Two runs' adapters in one: what both of them add to the base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("peft", reason="needs the train extra")

from safetensors.torch import load_file

import checkpoints_causal as checkpoints
from cli_case import invoke, write
from recipes.embedded.adapters import Adapter, stacked, trained_adapter
from stepscore.embedded.gguf_checkpoint import add_product
from stepscore.errors import InvalidInput

ROWS = [
    {"prompt": f"How much is {n} + 1?", "completions": [f"{n} + 1 = {n + wrong}"], "labels": [bool(wrong)]}
    for n in range(2, 8)
    for wrong in (0, 1)
]


def adapter(seed: int, rank: int, scale: float, *names: str) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name in names:
        state[f"{name}.lora_A.weight"] = torch.randn(rank, 6, generator=generator).bfloat16()
        state[f"{name}.lora_B.weight"] = torch.randn(5, rank, generator=generator).bfloat16()
    return Adapter(state, scale)


def test_a_stacked_adapter_adds_what_each_adds() -> None:
    base = {f"{name}.weight": torch.zeros(5, 6) for name in ("q", "k", "v")}
    one, other = adapter(1, 2, 2.0, "q", "k"), adapter(2, 3, 0.5, "k", "v")
    both = stacked([one, other])
    wanted = merge(merge(base, one.state, one.scale), other.state, other.scale)
    found = merge(base, both.state, both.scale)
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name])


def test_a_trained_run_is_its_base_and_its_adapter(tmp_path: Path) -> None:
    base, out = checkpoints.causal(tmp_path / "base", "qwen2"), tmp_path / "number_logprob"
    options = ["--lora", 2, "--steps", 3, "--learning-rate", "1e-2", "--output", "number_logprob"]
    ran = invoke("train", write(tmp_path / "rows.jsonl", ROWS), "--base", base, "--out", out, *options)
    assert ran.exit_code == 0, ran.output
    found = trained_adapter(out)
    before, after = load_file(base / "model.safetensors"), load_file(out / "model.safetensors")
    merged = merge(before, found.state, found.scale)
    assert any(not torch.equal(before[name], merged[name]) for name in before)
    for name in after:
        torch.testing.assert_close(merged[name], after[name], atol=1e-5, rtol=0)


def test_a_run_without_an_adapter_or_an_end_is_refused(tmp_path: Path) -> None:
    base, out = checkpoints.causal(tmp_path / "base", "qwen2"), tmp_path / "number_logprob"
    data = write(tmp_path / "rows.jsonl", ROWS)
    ran = invoke("train", data, "--base", base, "--out", out, "--steps", 1, "--output", "number_logprob")
    assert ran.exit_code == 0, ran.output
    with pytest.raises(InvalidInput, match="without --lora"):
        trained_adapter(out)
    manifest = json.loads((out / "training.json").read_text())
    (out / "training.json").write_text(json.dumps(manifest | {"state": "running"}))
    with pytest.raises(InvalidInput, match="not finished"):
        trained_adapter(out)


def merge(state: dict[str, torch.Tensor], adapter: dict[str, torch.Tensor], scale: float) -> dict[str, torch.Tensor]:
    """What `stepscore.embedded.prepare` makes of a base and an adapter."""
    merged = dict(state)
    for name in {key.rpartition(".lora_")[0] for key in adapter}:
        up, down = (adapter[f"{name}.lora_{part}.weight"].float().numpy() for part in "BA")
        merged[f"{name}.weight"] = torch.from_numpy(add_product(state[f"{name}.weight"].numpy(), up * scale, down))
    return merged
