"""Value heads: which name the head has, which family a checkpoint with one belongs to, separators of every kind."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import checkpoints_value_heads as checkpoints
from loading_case import CPU
from stepscore.checkpoint import read_facts
from stepscore.errors import CheckpointError, InvalidOption, MarkerMerged, UnknownFamily
from stepscore.family.registry import bind, family_named, resolve
from stepscore.scoring.open import open_scorer
from stepscore.types import Solution

SOLUTION = Solution("How many?", ("3 + 4 = 7.", "The answer is 7."))


@pytest.mark.parametrize("head", ["v_head.summary", "value_head", "v_head", "reward_head", "score"])
def test_the_head_is_found_by_the_name_that_is_there(tmp_path: Path, head: str) -> None:
    folder = checkpoints.value_head(tmp_path / "model", head=head)
    assert resolve(read_facts(folder)).name == "value_head"
    assert open_scorer(str(folder), options=CPU).score([SOLUTION])


def test_no_head_and_two_heads_are_errors(tmp_path: Path) -> None:
    facts = read_facts(checkpoints.causal(tmp_path / "none", "qwen2"))
    with pytest.raises(CheckpointError, match="hold none"):
        bind(family_named("value_head"), facts, {})
    two = read_facts(checkpoints.value_head(tmp_path / "two", head="score", second="v_head"))
    with pytest.raises(CheckpointError, match="v_head, score"):
        bind(family_named("value_head"), two, {})
    assert bind(family_named("value_head"), two, {"head": "score"}).head.layers == ("score",)


@pytest.mark.parametrize(
    ("make", "name", "family"),
    [
        (checkpoints.skywork, "renamed", "skywork"),
        (checkpoints.value_head, "renamed", "value_head"),
        (checkpoints.bare_value_head, "renamed", "value_head"),
        (checkpoints.pqm, "Windy0822-PQM", "pqm"),
        (checkpoints.pqm, "renamed", "value_head"),
        (checkpoints.reason_eval_7b, "renamed", "reason_eval"),
        (checkpoints.reasonflux, "renamed", "qwen_math"),
        (partial(checkpoints.causal, kind="mistral"), "math-shepherd-mistral-7b-prm", "math_shepherd"),
        (partial(checkpoints.causal, kind="llama"), "Llama3.1-Math-PRM", "er_prm"),
        (partial(checkpoints.causal, kind="llama"), "Llama-PRM800K", "versa_prm"),
        (partial(checkpoints.causal, kind="qwen2"), "Math-psa", "math_psa"),
    ],
)
def test_neighbours_are_told_apart(tmp_path: Path, make, name: str, family: str) -> None:
    assert resolve(read_facts(make(tmp_path / name))).name == family


@pytest.mark.parametrize("kind", ["qwen2", "llama", "mistral"])
def test_a_plain_language_model_is_no_reward_model(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UnknownFamily):
        resolve(read_facts(checkpoints.causal(tmp_path / "some-model", kind)))


@pytest.mark.parametrize("separator", ["\n", "\n\n", "<step>", " ;; ", "<step>\n"])
@pytest.mark.parametrize("kind", ["qwen2", "llama", "mistral"])
def test_any_separator_is_read_at_its_last_token(tmp_path: Path, kind: str, separator: str) -> None:
    folder = checkpoints.value_head(tmp_path / "model", kind=kind, marker="<step>")
    parts = bind(family_named("value_head"), read_facts(folder), {"separator": separator})
    encoded = parts.layout.encode(SOLUTION).sequences[0]
    tokenizer = checkpoints.TOKENIZERS[kind]("<step>")
    last = tokenizer(separator, add_special_tokens=False)["input_ids"][-1]
    assert [encoded.ids[read] for read in encoded.reads] == [last, last]
    assert encoded.reads[-1] == len(encoded.ids) - 1


def test_a_joint_separator_that_merges_is_an_error(tmp_path: Path) -> None:
    folder = checkpoints.value_head(tmp_path / "model")
    options = {"separator": "\n\n", "tokenisation": "joint"}
    with pytest.raises(MarkerMerged):
        bind(family_named("value_head"), read_facts(folder), options).layout.encode(SOLUTION)


@pytest.mark.parametrize("tokenisation", ["train_exact", "pipeline"])
def test_a_separator_that_is_an_added_token_is_that_token(tmp_path: Path, tokenisation: str) -> None:
    """As TRL's `tokenizer.encode(step_separator)` gives it; typed in a step it is text."""
    folder = checkpoints.reasonflux(tmp_path / "model")
    options = {"separator": "<extra_0>", "tokenisation": tokenisation}
    solution = Solution("How many?", ("3 + 4 = <extra_0>7.", "The answer is 7."))
    encoded = bind(family_named("token_classification"), read_facts(folder), options).layout.encode(solution)
    marker = checkpoints.tokenizers.qwen("<extra_0>").convert_tokens_to_ids("<extra_0>")
    for sequence in encoded.sequences:
        assert {sequence.ids[read] for read in sequence.reads} == {marker}
    assert encoded.sequences[-1].ids.count(marker) == (2 if tokenisation == "train_exact" else 3)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("token_classification", {}),
        ("token_classification", {"tokenisation": "pipeline"}),
        ("pure", {}),
        ("value_head", {}),
        ("value_head", {"tokenisation": "joint"}),
    ],
)
def test_a_separator_without_a_token_is_refused(tmp_path: Path, family: str, options: dict[str, str]) -> None:
    facts = read_facts(checkpoints.value_head(tmp_path / "model"))
    with pytest.raises(InvalidOption, match="no token for separator=''"):
        bind(family_named(family), facts, {"separator": "", **options})
