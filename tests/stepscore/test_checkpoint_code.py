"""Code that comes with a checkpoint is never run: neither its modules nor its pickles."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import checkpoints
import checkpoints_judges
from loading_case import CPU, SOLUTION, change_config, change_weights, rewards
from stepscore.config import EngineOptions
from stepscore.errors import CheckpointError, UnknownFamily, UnsupportedByEngine
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading

TRAP = "from pathlib import Path\nPath({!r}).write_text('ran')\nraise RuntimeError('ran')\n"
AUTO_MAP = {
    "AutoConfig": "modeling_trap.TrapConfig",
    "AutoModel": "modeling_trap.TrapModel",
    "AutoModelForCausalLM": "modeling_trap.TrapModel",
    "AutoTokenizer": ["modeling_trap.TrapTokenizer", "modeling_trap.TrapTokenizer"],
}


def set_trap(folder: Path) -> Path:
    """The folder with code that leaves a file behind when it is imported; returns that file's path."""
    sprung = folder / "sprung"
    (folder / "modeling_trap.py").write_text(TRAP.format(str(sprung)), encoding="utf-8")
    change_config(folder, auto_map=AUTO_MAP)
    change_config(folder, "tokenizer_config.json", auto_map=AUTO_MAP)
    return sprung


@pytest.mark.parametrize("mode", ["fast", "invariant", "reference"])
def test_a_checkpoints_code_is_never_run(tmp_path: Path, mode: Any) -> None:
    folder = checkpoints.qwen_math(tmp_path / "prm")
    expected = rewards(folder)
    sprung = set_trap(folder)
    scorer = open_scorer(str(folder), options=EngineOptions(device="cpu", dtype="float32", mode=mode))
    (reading,) = scorer.score([SOLUTION])
    assert isinstance(reading, Reading), reading
    assert reading.rewards == pytest.approx(expected, abs=1e-5)
    assert not sprung.exists()


def test_a_judges_code_is_never_run(tmp_path: Path) -> None:
    folder = checkpoints_judges.judge(tmp_path / "ThinkPRM-tiny")
    sprung = set_trap(folder)
    assert len(rewards(folder, max_tokens="2")) == 3
    assert not sprung.exists()


def test_an_architecture_that_only_its_code_knows_is_an_error(tmp_path: Path) -> None:
    folder = checkpoints.qwen_math(tmp_path / "prm")
    sprung = set_trap(folder)
    change_config(folder, model_type="trap")
    with pytest.raises(UnsupportedByEngine, match="trap"):
        open_scorer(str(folder), options=CPU)
    change_config(folder, architectures=["TrapModel"])
    change_weights(folder, score__0__weight=None)
    with pytest.raises(UnknownFamily):
        open_scorer(str(folder), options=CPU)
    assert not sprung.exists()


class Bomb:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "ran")


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    folder = checkpoints.qwen_math(tmp_path / "prm")
    sprung = folder / "sprung"
    (folder / "model.safetensors").unlink()
    torch.save({"score.0.weight": Bomb(sprung)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        open_scorer(str(folder), options=CPU)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(sprung)))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        open_scorer(str(folder), options=CPU)
    assert not sprung.exists()
