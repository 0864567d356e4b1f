"""Put what was trained on its base and write the checkpoint, once, into the cache folder.

    python -m stepscore.embedded.prepare

The result is a plain checkpoint folder of the base's architecture, opened by mmap like any other. Its name holds a
digest of the trained part, so that another adapter is prepared anew; it is written beside and renamed, so that a
kill leaves nothing half-made. The cache is $XDG_CACHE_HOME/stepscore, else ~/.cache/stepscore.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from stepscore.embedded.base import load_base

HERE = Path(__file__).parent
ADAPTER = HERE / "adapter.safetensors"
RECIPE = HERE / "recipe.json"

State = dict[str, torch.Tensor]


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepscore"


def prepare(cache: Path | None = None) -> Path:
    """The checkpoint's folder, made where it is missing. Raises CheckpointError where the base cannot be had."""
    folder = (cache or cache_folder()) / f"stepscore-embedded-{_digest()}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".preparing-", dir=folder.parent))
        try:
            write(made, load_file(ADAPTER), json.loads(RECIPE.read_text(encoding="utf-8")))
            _move_into_place(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return folder


def write(folder: Path, adapter: State, recipe: dict[str, Any]) -> None:
    """Base plus adapter as a checkpoint folder. recipe: `scale` of the adapter and entries for config.json."""
    model, tokenizer = load_base()
    state = {key: tensor for key, tensor in model.state_dict().items() if key != "lm_head.weight"}
    merged = merge(state, adapter, recipe["scale"])
    save_file({key: tensor.contiguous() for key, tensor in merged.items()}, folder / "model.safetensors")
    config = {key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
    config |= {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True} | recipe["config"]
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    tokenizer.inner.save_pretrained(folder)


def merge(state: State, adapter: State, scale: float) -> State:
    """W + scale * B A for every pair `{name}.lora_A.weight` (r, in), `{name}.lora_B.weight` (out, r)."""
    merged = dict(state)
    for key, down in adapter.items():
        if key.endswith(".lora_A.weight"):
            name = key.removesuffix(".lora_A.weight")
            up = adapter[f"{name}.lora_B.weight"]
            merged[f"{name}.weight"] = state[f"{name}.weight"] + scale * (up.float() @ down.float())
    return merged


def _move_into_place(made: Path, folder: Path) -> None:
    """Another process may have been faster; its folder is as good."""
    made.chmod(0o755)
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _digest() -> str:
    return hashlib.sha256(ADAPTER.read_bytes() + RECIPE.read_bytes()).hexdigest()[:12]


if __name__ == "__main__":
    print(prepare())  # noqa: T201 - the answer of the command
