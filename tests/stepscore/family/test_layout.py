"""The wall between template and user text, and positions noted while writing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenizers_for_tests as tokenizers
from stepscore.errors import MarkerMerged
from stepscore.family.layout import ChatTemplate, Marker, Message, SequenceBuilder, Text
from stepscore.text.tokenizer import StepTokenizer

MARKER = "<extra_0>"
KINDS = {"qwen": tokenizers.qwen, "llama3": tokenizers.llama3, "mistral": tokenizers.mistral}
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
CLEAN_TEXT = ANY_TEXT.filter(lambda text: "<" not in text)
"""Without special tokens: Hypothesis also tries the texts that stand in this file."""


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> StepTokenizer:
    return StepTokenizer(KINDS[request.param](MARKER), (MARKER,))


def chat(tokenizer: StepTokenizer, problem: str, steps: list[str]) -> SequenceBuilder:
    marker = tokenizer.token_id(MARKER)
    parts = tuple(part for step in steps for part in (Text(step), Marker(marker)))
    builder = SequenceBuilder(tokenizer)
    ChatTemplate(tokenizer).write(builder, [Message("user", (Text(problem),)), Message("assistant", parts)])
    return builder


@pytest.mark.parametrize("kind", ["qwen", "llama3"])
def test_separators_really_merge_in_these_tokenizers(kind: str) -> None:
    assert ".ĊĊ" in KINDS[kind](MARKER).tokenize("a day.\n\nShe")


@settings(deadline=None)
@given(problem=CLEAN_TEXT, steps=st.lists(CLEAN_TEXT, min_size=1, max_size=4))
def test_clean_text_gives_the_ids_of_the_checkpoints_own_tokenizer(
    tokenizer: StepTokenizer, problem: str, steps: list[str]
) -> None:
    encoded = chat(tokenizer, problem, steps).build()
    inner = tokenizer.inner
    rendered = inner.apply_chat_template(
        [{"role": "user", "content": problem}, {"role": "assistant", "content": MARKER.join(steps) + MARKER}],
        tokenize=False,
    )
    assert list(encoded.ids) == inner(rendered, add_special_tokens=False)["input_ids"]
    assert len(encoded.reads) == len(steps)
    assert {encoded.ids[read] for read in encoded.reads} == {tokenizer.token_id(MARKER)}


@pytest.mark.parametrize("typed", [MARKER, "<|im_end|>", "<|eot_id|>", "</s>"])
def test_a_typed_special_token_is_text(tokenizer: StepTokenizer, typed: str) -> None:
    ids = chat(tokenizer, typed, [f"a {typed} b"]).build().ids
    plain = chat(tokenizer, "x", ["a x b"]).build().ids
    special = set(tokenizer.inner.all_special_ids)
    assert [i for i in ids if i in special] == [i for i in plain if i in special]


def test_a_plain_marker_is_read_where_it_was_written(tokenizer: StepTokenizer) -> None:
    text = "3 + 4 = 7. ки\nSo 8. ки"
    builder = SequenceBuilder(tokenizer)
    builder.text("How?").text(" 3 + 4 = 7. ки").read().text("\nSo 8. ки").read()
    encoded = builder.build()
    assert list(encoded.ids) == tokenizer.encode("How? " + text)[0]
    for read, expected in zip(encoded.reads, ("How? 3 + 4 = 7. ки", "How? " + text), strict=True):
        assert tokenizer.inner.decode(encoded.ids[: read + 1]).strip() == expected


@pytest.mark.parametrize("kind", ["qwen", "llama3"])
def test_a_merged_marker_is_an_error(kind: str) -> None:
    tokenizer = StepTokenizer(KINDS[kind](MARKER))
    builder = SequenceBuilder(tokenizer).text("a day.").text("\n\n").read(expect=tokenizer.last_id("\n\n"))
    assert tokenizer.encode("a day.\n\n")[0][-1] != tokenizer.last_id("\n\n")
    with pytest.raises(MarkerMerged):
        builder.build()


def test_pieces_never_merge(tokenizer: StepTokenizer) -> None:
    encoded = SequenceBuilder(tokenizer).piece("a day.").piece("\n\n").read().piece("She").build()
    assert list(encoded.ids) == [i for part in ("a day.", "\n\n", "She") for i in tokenizer.encode(part)[0]]
    assert encoded.reads == (len(tokenizer.encode("a day.")[0]) + len(tokenizer.encode("\n\n")[0]) - 1,)


def test_a_trimming_template_trims_user_text() -> None:
    tokenizer = StepTokenizer(tokenizers.llama3(MARKER), (MARKER,))
    assert chat(tokenizer, "  How?\n", ["x"]).build().ids == chat(tokenizer, "How?", ["x"]).build().ids


def test_bos_is_found_where_the_tokenizer_adds_one() -> None:
    assert StepTokenizer(tokenizers.qwen()).bos == ()
    assert StepTokenizer(tokenizers.llama3()).bos == (tokenizers.llama3().bos_token_id,)
    assert StepTokenizer(tokenizers.mistral()).bos == (1,)
