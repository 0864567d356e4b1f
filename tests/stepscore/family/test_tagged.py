"""Plain text with tags: the ids of the whole string, and an error instead of a wrong position."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

import tokenizers_for_tests as tokenizers
from checkpoints_value_heads import legacy_mistral
from stepscore.errors import CheckpointError, MarkerInText, MarkerMerged
from stepscore.family.tagged import TaggedText, label_pair
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Solution

KINDS = {
    "qwen": (tokenizers.qwen, " \n\n\n\n\n"),
    "llama3": (tokenizers.llama3, " \n\n\n\n"),
    "mistral": (tokenizers.mistral, " ки"),
    "mistral-legacy": (legacy_mistral, " ки"),
}
TEXT = st.text(st.sampled_from("ab c0189.,+-=$\\é√\n"), min_size=1, max_size=12).filter(str.strip)


def layout(kind: str, **changes: object) -> TaggedText:
    make, tag = KINDS[kind]
    settings = {"opening": " ", "tag": tag, "between": "\n" if "ки" in tag else " ", "refused": tag} | changes
    return TaggedText(StepTokenizer(make()), **settings)


@pytest.mark.parametrize("kind", KINDS)
@given(problem=TEXT, steps=st.lists(TEXT, min_size=1, max_size=4))
def test_ids_are_those_of_the_whole_string_and_every_tag_is_read(kind: str, problem: str, steps: list[str]) -> None:
    made = layout(kind)
    assume(not any(made.tag in text for text in (problem, *steps)))
    (sequence,) = made.encode(Solution(problem, tuple(steps))).sequences
    whole = f"{problem} " + made.between.join(step.strip() + made.tag for step in steps)
    inner = made.tokenizer.inner
    assert list(sequence.ids) == inner(whole)["input_ids"]
    tag = inner(made.tag, add_special_tokens=False)["input_ids"][-1]
    assert [position for position, token in enumerate(sequence.ids) if token == tag] == list(sequence.reads)
    assert len(sequence.reads) == len(steps)


def merging_qwen() -> PreTrainedTokenizerFast:
    """Qwen's kind with one more merge, a space and the tag, such as a large vocabulary has for runs of white space."""
    spec = json.loads(tokenizers.qwen().backend_tokenizer.to_str())
    tag = "ĠĊĊĊĊĊ"
    spec["model"]["vocab"][f"Ġ{tag}"] = len(tokenizers.qwen())
    spec["model"]["merges"].append(["Ġ", tag])
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(spec)))


def test_white_space_that_melts_into_the_tag_is_an_error() -> None:
    made = replace(layout("qwen", trimmed=False), tokenizer=StepTokenizer(merging_qwen()))
    assert made.encode(Solution("How many?", ("It is 8.", "So 9."))).sequences[0].reads
    with pytest.raises(MarkerMerged) as caught:
        made.encode(Solution("How many?", ("It is 8.", "So 9. ")))
    assert caught.value.detail["step"] == 1
    assert replace(made, trimmed=True).encode(Solution("How many?", ("It is 8.", "So 9. ")))


@pytest.mark.parametrize("kind", ["qwen", "llama3"])
def test_stripped_steps_lose_it(kind: str) -> None:
    made = layout(kind)
    clean = made.encode(Solution("How many?", ("It is 8.", "So 9.")))
    assert made.encode(Solution("How many?", ("\nIt is 8. \n", " So 9.\n\n"))) == clean


def test_a_typed_tag_is_refused_even_at_an_end_that_would_be_stripped() -> None:
    with pytest.raises(MarkerInText):
        layout("llama3").encode(Solution("How many?", ("It is 8. \n\n\n\n",)))


@pytest.mark.parametrize(
    ("steps", "written"),
    [
        (("a = 1", "b = 2"), "Step 1: a = 1 ки\nStep 2: b = 2 ки"),
        (("Step 1: a = 1", "step 2: b = 2"), "Step 1: a = 1 ки\nstep 2: b = 2 ки"),
        ((" Step 7: a", "b"), "Step 7: a ки\nStep 2: b ки"),
    ],
)
def test_numbers_are_written_where_they_are_absent(steps: tuple[str, ...], written: str) -> None:
    made = layout("mistral", numbered=True)
    (sequence,) = made.encode(Solution("How many?", steps)).sequences
    assert list(sequence.ids) == made.tokenizer.inner(f"How many? {written}")["input_ids"]


def test_labels_are_found_as_a_card_finds_them() -> None:
    tokenizer = tokenizers.mistral()
    assert list(label_pair(StepTokenizer(tokenizer), "+ -")) == tokenizer.encode("+ -")[1:]
    with pytest.raises(CheckpointError):
        label_pair(StepTokenizer(tokenizer), "+ - +")
