"""Jobs that train a model or ask a policy read its tokenizer as scoring does: from its own file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

import checkpoints_value_heads
import tokenizers_for_tests as made
from stepscore.checkpoint import read_facts
from stepscore.generate.policy import prompts_of
from stepscore_service.jobs.modeling.bases import open_base

TEXT = "Step 1: 16 - 3 = 13 eggs.\nStill true: é ≤ 你好"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Llama with a byte-level tokenizer.json and the class that would rebuild it, as DeepSeek's bases have it."""
    return checkpoints_value_heads.of_class(
        checkpoints_value_heads.causal(tmp_path / "base", "llama", tokenizer=made.qwen()), "LlamaTokenizerFast"
    )


def test_a_base_is_trained_with_the_ids_of_its_file(folder: Path) -> None:
    own = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT).ids
    assert open_base(str(folder), torch.float32).tokenizer.encode(TEXT, add_special_tokens=False) == own


def test_a_policy_is_prompted_with_the_ids_of_its_file(folder: Path) -> None:
    """The template's own text stands around the problem, apart by special tokens and line breaks."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    prompt = prompts_of("{problem}", read_facts(folder)).write(TEXT, "")
    assert not isinstance(prompt, str)
    assert f"user\n{TEXT}" in tokenizer.decode(list(prompt), skip_special_tokens=False)
