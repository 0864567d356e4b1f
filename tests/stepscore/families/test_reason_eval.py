"""ReasonEval beyond the contract: redundancy, both published tokenisations, a separator that somebody typed."""

from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints_value_heads as checkpoints
from loading_case import CPU
from reference import reason_eval as reference
from stepscore.checkpoint import read_facts
from stepscore.family.registry import bind, family_named
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading, Solution

PROBLEM, STEPS = "How many?", ["1. We have 3 + 4 = 7.", "2. The answer is 7.", "3. So 7"]
MAKE = {"7B": checkpoints.reason_eval_7b, "34B": checkpoints.reason_eval_34b}


@pytest.mark.parametrize("size", MAKE)
def test_redundancy_comes_along(tmp_path: Path, size: str) -> None:
    folder = MAKE[size](tmp_path / "model")
    (reading,) = open_scorer(str(folder), options=CPU).score([Solution(PROBLEM, tuple(STEPS))])
    assert isinstance(reading, Reading)
    assert reading.extras["redundancy"] == pytest.approx(reference.redundancy(folder, PROBLEM, STEPS, size), abs=1e-5)
    assert reading.rewards == pytest.approx(reference.validity(folder, PROBLEM, STEPS, size), abs=1e-5)


def test_the_variants_read_one_token_apart(tmp_path: Path) -> None:
    facts = read_facts(checkpoints.reason_eval_7b(tmp_path / "model"))
    read = {}
    for size in MAKE:
        parts = bind(family_named("reason_eval"), facts, {"tokenisation": size})
        (read[size],) = parts.layout.encode(Solution(PROBLEM, tuple(STEPS))).sequences
    assert read["7B"].ids == read["34B"].ids
    assert [read + 1 for read in read["7B"].reads] == list(read["34B"].reads)


@pytest.mark.parametrize(("size", "typed"), [("7B", "<s>"), ("34B", "<|endoftext|>")])
def test_a_typed_separator_is_text(tmp_path: Path, size: str, typed: str) -> None:
    facts = read_facts(MAKE[size](tmp_path / "model"))
    parts = bind(family_named("reason_eval"), facts, {})
    (sequence,) = parts.layout.encode(Solution(typed, (f"a {typed} b", typed))).sequences
    tokenizer = checkpoints.TOKENIZERS["mistral" if size == "7B" else "qwen2"]()
    assert tokenizer.convert_tokens_to_ids(typed) not in sequence.ids[1:]
    assert len(sequence.reads) == 2
