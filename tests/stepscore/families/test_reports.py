"""What people reported of rewards that were not the authors', each named by its report, on our families."""

from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints
import checkpoints_causal
import checkpoints_value_heads
from loading_case import CPU, SOLUTION, change_config
from stepscore.checkpoint import read_facts
from stepscore.errors import CheckpointError
from stepscore.family.registry import bind, family_named, resolve
from stepscore.scoring.open import open_scorer
from stepscore.types import Solution


@pytest.mark.parametrize("family", ["reasonflux", "qwen_math"])
def test_a_language_model_in_a_reward_models_place_is_refused(tmp_path: Path, family: str) -> None:
    """Gen-Verse/ReasonFlux#20: opened as a causal model, it gave 152,064 logits at each token."""
    folder = checkpoints_causal.causal(tmp_path / "prm", "qwen2", ("<extra_0>",))
    with pytest.raises(CheckpointError, match=r"lacks the tensor score\.0\.weight"):
        open_scorer(str(folder), family=family, options=CPU)


def test_two_models_of_one_name_are_told_apart_by_their_architecture(tmp_path: Path) -> None:
    """CJReinforce/PURE#1: both owners publish a Qwen2.5-Math-7B-PRM800K."""
    name = "Qwen2.5-Math-7B-PRM800K"
    theirs = checkpoints.token_classification(tmp_path / "pure")
    qwens = checkpoints.qwen_math(tmp_path / "qwen")
    assert resolve(read_facts(theirs, name=f"jinachris/{name}")).name == "pure"
    assert resolve(read_facts(qwens, name=f"Qwen/{name}")).name == "qwen_math"


@pytest.mark.parametrize("end", [" ", "\n", "  \n"])
def test_white_space_before_the_tag_does_not_hide_it(tmp_path: Path, end: str) -> None:
    """openreasoner/openr#25 and #64: with one more space there was no tag among the ids."""
    folder = checkpoints_value_heads.math_shepherd(tmp_path / "math-shepherd-mistral-7b-prm")
    layout = bind(family_named("math_shepherd"), read_facts(folder), {}).layout
    clean = layout.encode(Solution("How many?", ("It is 8.", "So 8.")))
    assert layout.encode(Solution("How many?", (f"It is 8.{end}", f"So 8.{end}"))) == clean


def test_a_chat_has_one_bos(tmp_path: Path) -> None:
    """allenai/reward-bench#164 and RLHFlow/RLHF-Reward-Modeling#16: template and tokenizer wrote one each."""
    facts = read_facts(checkpoints_causal.causal(tmp_path / "rlhflow", "llama"))
    (sequence,) = bind(family_named("rlhflow"), facts, {}).layout.encode(SOLUTION).sequences
    bos = checkpoints.tokenizers.llama3().bos_token_id
    assert [place for place, token in enumerate(sequence.ids) if token == bos] == [0]


def test_a_padding_token_that_ends_turns_moves_no_reward_into_the_problem(tmp_path: Path) -> None:
    """huggingface/transformers#35352: the first padding token, that of the user's turn, ended the sequence."""
    folder = checkpoints_causal.causal(tmp_path / "rm", "llama")
    pad = checkpoints.tokenizers.llama3().eos_token_id
    facts = read_facts(change_config(folder, pad_token_id=pad))
    for sequence in bind(family_named("orm_sequence_classification"), facts, {}).layout.encode(SOLUTION).sequences:
        (read,) = sequence.reads
        assert sequence.ids.index(pad) < read == len(sequence.ids) - 2
