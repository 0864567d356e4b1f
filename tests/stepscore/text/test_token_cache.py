"""Remembered and cut texts give the ids of one call on the whole text, and what was seen costs no call."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import tokenizers_for_tests as tokenizers
from stepscore.families import implicit, token_classification
from stepscore.family.layout import ChatTemplate, LayoutContext
from stepscore.family.layouts import MarkedChat
from stepscore.family.registry import Family
from stepscore.text.cuts import AFTER_BREAK, BEFORE_BREAK, NEVER
from stepscore.text.token_cache import TokenCache, Tokens
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Solution

MARKER = "<extra_0>"
TRAPS = " \n\n\n\r\t\x0b\x1c\x85\u2028\u00a0.,:'sStT19aé\u0301ки_<>\u4e2d"
PIECES = [*tokenizers.CORPUS, "\n", " \n", "\n ", ".\n\n", "<|im_end|>", "x"]
TEXT = st.one_of(
    st.text(st.sampled_from(TRAPS), max_size=30),
    st.lists(st.sampled_from([*tokenizers.CORPUS, "\n", " \n", "\n ", ".\n\n", "<|im_end|>", "x"]), max_size=5).map(
        "".join
    ),
)


@lru_cache
def gpt2() -> PreTrainedTokenizerFast:
    """SmolLM2's kind: single digits, then GPT-2's words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([*tokenizers.CORPUS * 4, *["a\n\n\n", "\n\nb", "\n c"] * 9], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "qwen": tokenizers.qwen,
    "llama3": tokenizers.llama3,
    "mistral": tokenizers.mistral,
    "gpt2": gpt2,
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def inner(kind: str) -> PreTrainedTokenizerFast:
    return KINDS[kind]()


@pytest.fixture(scope="module")
def tokenizer(inner: PreTrainedTokenizerFast) -> StepTokenizer:
    return StepTokenizer(inner)


@pytest.fixture(scope="module")
def whole(inner: PreTrainedTokenizerFast) -> Tokenizer:
    """The checkpoint's own tokenizer, with special tokens as text."""
    made = Tokenizer.from_str(inner.backend_tokenizer.to_str())
    made.encode_special_tokens = True
    return made


def cuts_of(inner: PreTrainedTokenizerFast) -> object:
    return StepTokenizer(inner)._cuts


@settings(max_examples=150, deadline=None)
@given(text=TEXT)
def test_ids_and_ends_are_those_of_one_call(tokenizer: StepTokenizer, whole: Tokenizer, text: str) -> None:
    expected = whole.encode(text, add_special_tokens=False)
    for _ in ("tokenised", "remembered"):
        ids, ends = tokenizer.encode(text)
        assert ids == expected.ids == tokenizer.ids(text)
        assert ends == [end for _, end in expected.offsets]


def test_the_kinds_are_cut_where_it_is_exact(kind: str, inner: PreTrainedTokenizerFast) -> None:
    assert cuts_of(inner) is (BEFORE_BREAK if kind == "gpt2" else AFTER_BREAK)


def _set_prefix(inner: Tokenizer) -> None:
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


def _set_lowercase(inner: Tokenizer) -> None:
    inner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Strip()])


def _set_swallowing(inner: Tokenizer) -> None:
    inner.add_tokens([AddedToken("<tool>", lstrip=True)])


def _set_breaking(inner: Tokenizer) -> None:
    inner.add_tokens(["a\nb"])


@pytest.mark.parametrize("spoil", [_set_prefix, _set_lowercase, _set_swallowing, _set_breaking])
def test_what_is_not_known_to_be_exact_is_never_cut(spoil: Callable[[Tokenizer], None]) -> None:
    changed = Tokenizer.from_str(gpt2().backend_tokenizer.to_str())
    spoil(changed)
    assert cuts_of(PreTrainedTokenizerFast(tokenizer_object=changed)) is NEVER


def growing_solutions(count: int) -> list[Solution]:
    steps = [f"Step {n}: we have {n} + {n} = {2 * n}." for n in range(1, count + 1)]
    return [Solution("How many?\nSay it.", tuple(steps[:length])) for length in range(1, count + 1)]


def marked_chat(tokenizer: StepTokenizer) -> MarkedChat:
    return MarkedChat(tokenizer, ChatTemplate(tokenizer), tokenizer.token_id(MARKER), "Be brief.")


def test_a_growing_solution_costs_one_call_for_each_new_step() -> None:
    tokenizer = StepTokenizer(tokenizers.qwen(MARKER), (MARKER,))
    layout = marked_chat(tokenizer)
    first, *rest = growing_solutions(20)
    layout.encode(first)
    before = tokenizer.calls
    for solution in rest:
        layout.encode(solution)
    assert tokenizer.calls == before + len(rest)
    for solution in rest:
        layout.encode(solution)
    assert tokenizer.calls == before + len(rest)


def test_without_a_budget_every_text_is_tokenised_again_to_the_same_ids() -> None:
    kept, plain = (StepTokenizer(tokenizers.qwen(MARKER), (MARKER,), size) for size in (1 << 20, 0))
    for solution in growing_solutions(5) * 2:
        assert marked_chat(kept).encode(solution) == marked_chat(plain).encode(solution)
    assert kept.calls < plain.calls / 3


@pytest.mark.parametrize("family", [implicit.FAMILY, token_classification.FAMILY])
def test_prefixes_are_not_tokenised_from_their_beginning(family: Family) -> None:
    """Calls grow with the steps, not with their square."""
    calls = []
    for count in (10, 20, 40):
        tokenizer = StepTokenizer(tokenizers.qwen(MARKER))
        context = LayoutContext(tokenizer, {}, family.settle({}))
        family.build(context).layout.encode(growing_solutions(count)[-1])
        calls.append(tokenizer.calls)
    assert calls[2] - calls[1] <= 2 * (calls[1] - calls[0]) + 1


TOKENS = Tokens.of([1] * 10, [1] * 10)


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=60), st.integers(0, 20_000))
def test_the_budget_is_never_exceeded(texts: list[str], budget: int) -> None:
    cache = TokenCache(budget)
    for text in texts:
        cache.put((False, text), TOKENS)
        assert cache.used <= budget


def test_the_text_not_used_for_longest_goes_first() -> None:
    cache = TokenCache(8 * 560)
    for name in "abcdefgh":
        cache.put((False, name), TOKENS)
    cache.get((False, "a"))
    cache.put((False, "new"), TOKENS)
    assert [name for name in "abc" if cache.get((False, name))] == ["a", "c"]


def test_a_copy_in_another_process_starts_empty() -> None:
    cache = TokenCache(1 << 20)
    cache.put((False, "a"), TOKENS)
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.budget, copy.used, copy.get((False, "a"))) == (1 << 20, 0, None)
