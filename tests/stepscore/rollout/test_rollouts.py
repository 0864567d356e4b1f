"""Rollouts: seeds that follow from what is asked, counts that keep apart what cannot be judged."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

import tokenizers_for_tests
from label_case import MUTE, RIGHT, WRONG, ScriptedPolicy, Written, plan, scripted
from stepscore.errors import GeneratorError
from stepscore.generate.prompt import ChatPrompt, PlainPrompt
from stepscore.generate.protocol import Completion, Request
from stepscore.rollout.rollouts import Ask, Counts, Roller, Rollout, counted, derived_seed
from stepscore.verify.verifier import Truth

SEVEN = Truth("7")


def roller(policy: ScriptedPolicy, at_once: int = 64) -> Roller:
    found = scripted(replace(plan(), at_once=at_once), lambda rollouts: None, policy).roller
    assert found is not None
    return found


def ask(number: int, n: int = 4) -> Ask:
    return Ask(f"Problem {number}", SEVEN, "A step.\n", n)


def test_rollouts_depend_on_neither_order_nor_company() -> None:
    asks = [ask(number) for number in range(5)]
    together = roller(ScriptedPolicy()).roll(asks)
    policy = ScriptedPolicy()
    backwards = roller(policy, at_once=6).roll(asks[::-1])
    assert together == backwards[::-1]
    assert policy.sizes == [4] * 5
    assert len({tuple(rollouts) for rollouts in together}) > 1


def test_calls_of_the_policy_are_filled_but_never_overfull() -> None:
    policy = ScriptedPolicy()
    roller(policy, at_once=10).roll([ask(number, n) for number, n in enumerate((4, 4, 4, 12, 2, 8))])
    assert policy.sizes == [8, 4, 12, 10]


def test_equal_asks_are_rolled_out_once() -> None:
    policy = ScriptedPolicy()
    one, other, same = roller(policy).roll([ask(0), ask(1), ask(0)])
    assert one == same != other
    assert policy.sizes == [8]


def test_truncated_and_unreadable_are_not_wrong() -> None:
    texts: list[Written] = [(RIGHT, "stop"), (WRONG, "stop"), (MUTE, "stop"), (RIGHT, "length"), (WRONG, "length")]

    def script(prefix: str, number: int, rng: random.Random) -> Written:
        return texts[number]

    (rollouts,) = roller(ScriptedPolicy(script)).roll([ask(0, len(texts))])
    assert [one.ending for one in rollouts] == ["right", "wrong", "unreadable", "truncated", "truncated"]
    assert counted(rollouts) == Counts(right=1, wrong=1, unreadable=1, truncated=2)
    assert counted(rollouts).value == 0.5
    assert Counts(unreadable=3, truncated=2).value is None


class Narrow(ScriptedPolicy):
    """Takes prompts of 60 characters."""

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        if any(len(request.prompt) > 60 for request in requests):
            raise GeneratorError("too long", reason="context")
        return super().generate(requests)


def test_a_prefix_that_fills_the_context_is_cut_off_and_ends_nothing() -> None:
    long = replace(ask(1, 2), prefix="A very long step. " * 9)
    short, cut, other = roller(Narrow()).roll([ask(0, 2), long, ask(2, 2)])
    assert [one.ending for one in cut] == ["truncated"] * 2
    assert [*short, *other] == [
        rollout for each in roller(ScriptedPolicy()).roll([ask(0, 2), ask(2, 2)]) for rollout in each
    ]


def test_another_failure_of_the_policy_is_told() -> None:
    class Broken(ScriptedPolicy):
        def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
            raise GeneratorError("gone", reason="refused")

    with pytest.raises(GeneratorError, match="gone"):
        roller(Broken()).roll([ask(0)])


def test_what_is_verified_is_the_whole_solution() -> None:
    (rollouts,) = roller(ScriptedPolicy(lambda prefix, number, rng: ("and done.", "stop"))).roll(
        [Ask("3 + 4?", SEVEN, f"{RIGHT}\n", 1)]
    )
    assert rollouts == (Rollout("and done.", "right", "stop", 2, "7"),)


@given(st.integers(), st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_seeds_differ_where_texts_do(seed: int, one: list[str], other: list[str]) -> None:
    assert 0 <= derived_seed(seed, *one) < 2**31
    if "\0".join(one) != "\0".join(other) and one and other:
        assert derived_seed(seed, *one) != derived_seed(seed, *other)


def test_a_plain_prompt_leaves_other_braces_alone() -> None:
    assert PlainPrompt(r"Q: {problem} \boxed{}").write("{x}", "Step.") == r"Q: {x} \boxed{}Step."


@pytest.fixture
def chatting() -> PreTrainedTokenizerFast:
    tokenizer = tokenizers_for_tests.llama3()
    tokenizer.chat_template = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<answer>"
    return tokenizer


def test_a_chat_prompt_opens_the_sequence_once(chatting: PreTrainedTokenizerFast) -> None:
    ids = ChatPrompt(chatting, "Solve {problem}").write("3 + 4?", "First,")
    assert isinstance(ids, tuple)
    assert ids.count(chatting.bos_token_id) == 1
    assert chatting.decode(ids[1:]).replace(" ", "") == "<user>Solve3+4?<answer>First,"
