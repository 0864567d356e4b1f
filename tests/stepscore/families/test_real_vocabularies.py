"""Layouts on the real vocabularies: the ids that cards print, and the authors' ids and positions for odd text."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

import real_tokenizers as real
from reference import skywork
from stepscore.errors import MarkerInText, MarkerMerged
from stepscore.family.heads import VocabularyHead
from stepscore.family.layout import LayoutContext
from stepscore.family.registry import Parts, family_named
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Encoded, Solution

pytestmark = pytest.mark.slow

FRAGMENTS = [
    *("Step 1: ", "We have ", "$x + 2 = 5$", "\\frac{1}{3}", "\\[", "```python\n", "18", ".", ":", "=", "}", " +", "-"),
    *("\n", "\n\n", "\r\n", " ", "  ", "\t", "\u00a0", "\u3000", "√2", "é", "答案是", "。", "🦆", "привет", "…"),
]
TEXT = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=6).map("".join).filter(str.strip)
STEPS = st.lists(TEXT, min_size=1, max_size=4)
Tokenizer = Callable[[], PreTrainedTokenizerFast]
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TAGGED = {
    "math_shepherd": (real.mistral, " ", " ки", "\n", 12902, (648, 387)),
    "er_prm": (real.llama3, " ", " ки", "", 116624, (489, 482)),
    "math_psa": (real.qwen, " ", " \n\n\n\n\n", " ", 76325, (488, 481)),
    "versa_prm": (real.llama3, " \n\n", " \n\n\n\n", "", 23535, (12, 10)),
    "versa_prm-qwen": (real.qwen, " \n\n", " \n\n\n\n", "", 22701, (12, 10)),
}


@lru_cache
def parts_of(family: str, tokenizer: Tokenizer, **options: str) -> Parts:
    found = family_named(family)
    context = LayoutContext(StepTokenizer(tokenizer(), found.markers), {"model_type": "mistral"}, found.settle(options))
    return found.build(context)


def encode(parts: Parts, problem: str, steps: list[str]) -> Encoded:
    return parts.layout.encode(Solution(problem, tuple(steps))).sequences[0]


def test_the_vocabulary_is_sentencepieces_own() -> None:
    tokenizer = real.mistral()
    text = "What? ки\nStep 1: Janet's ducks lay √2 eggs. ки"
    pieces = pytest.importorskip("sentencepiece").SentencePieceProcessor(
        model_file=str(real._data("mistral_common", "data/tokenizer.model.v1"))
    )
    assert tokenizer.encode(text, add_special_tokens=False) == pieces.encode(text)


@pytest.mark.parametrize("case", TAGGED)
def test_tags_and_labels_are_the_ids_that_cards_print(case: str) -> None:
    tokenizer, _, _, _, tag, labels = TAGGED[case]
    parts = parts_of(case.split("-")[0], tokenizer)
    encoded = encode(parts, "How many?", ["Step 1: a.", "Step 2: b."])
    assert [encoded.ids[read] for read in encoded.reads] == [tag, tag]
    assert isinstance(parts.head, VocabularyHead)
    assert parts.head.token_ids == labels


@pytest.mark.parametrize("white_space", ["trim", "keep"])
@pytest.mark.parametrize("case", TAGGED)
@many
@given(problem=TEXT, steps=STEPS)
def test_tagged_text_is_the_authors_or_an_error(case: str, white_space: str, problem: str, steps: list[str]) -> None:
    tokenizer, opening, tag, between, tag_id, _ = TAGGED[case]
    family = family_named(case.split("-")[0])
    options = {"white_space": white_space} | ({"numbering": "as_written"} if "numbering" in family.options else {})
    parts = parts_of(family.name, tokenizer, **options)
    trimmed = white_space == "trim"
    stripped = [step.strip() if trimmed else step for step in steps]
    asked = problem.strip() if trimmed and family.name == "versa_prm" else problem
    ids = tokenizer()(asked + opening + between.join(step + tag for step in stripped))["input_ids"]
    found = [position for position, token in enumerate(ids) if token == tag_id]
    try:
        encoded = encode(parts, problem, steps)
    except (MarkerMerged, MarkerInText):
        assert len(found) != len(steps) or tag in problem or not trimmed or any(tag in step for step in steps)
    else:
        assert (list(encoded.ids), list(encoded.reads)) == (ids, found)


@many
@given(problem=TEXT, steps=STEPS)
def test_skyworks_lines(problem: str, steps: list[str]) -> None:
    encoded = encode(parts_of("skywork", real.qwen), problem, steps)
    ids, flags = skywork.prepare_input(problem, "\n".join(steps), real.qwen(), "\n")
    breaks = [position for position, flag in enumerate(flags) if flag]
    ends, line = [], -1
    for step in steps:
        line += step.count("\n") + 1
        ends.append(breaks[line])
    assert (list(encoded.ids), list(encoded.reads)) == (ids, ends)


@many
@given(problem=TEXT, steps=STEPS)
def test_reasonflux_markers(problem: str, steps: list[str]) -> None:
    encoded = encode(parts_of("reasonflux", real.qwen), problem, steps)
    messages = [
        {"role": "user", "content": problem},
        {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
    ]
    ids = real.qwen().encode(real.qwen().apply_chat_template(messages, tokenize=False))
    assert list(encoded.ids) == ids
    assert list(encoded.reads) == [position for position, token in enumerate(ids) if token == 151651]


@many
@given(problem=TEXT, steps=STEPS)
def test_reason_evals_pieces(problem: str, steps: list[str]) -> None:
    assume(all("<s>" not in text for text in (problem, *steps)))
    encoded = encode(parts_of("reason_eval", real.mistral), problem, steps)
    prompt = f"Question:\n{problem}\nAnswer:\nLet's think step by step.\n"
    ids = real.mistral()(prompt + "<s>" + "".join(f"{step}<s>" for step in steps))["input_ids"]
    ends = [index - 1 - count for count, index in enumerate(i for i, token in enumerate(ids) if token == 1)]
    assert list(encoded.ids) == [1, *(token for token in ids if token != 1)]
    assert list(encoded.reads) == ends[2:]
