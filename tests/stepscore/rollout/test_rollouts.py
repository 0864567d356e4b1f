"""Rollouts: seeds that follow from what is asked, counts that keep apart what cannot be judged."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

import tokenizers_for_tests
from label_case import MUTE, RIGHT, WRONG, ScriptedPolicy, Written, plan, scripted
from stepscore.errors import GeneratorError
from stepscore.generate.prompt import ChatPrompt, PlainPrompt
from stepscore.generate.protocol import Completion, Request, derive_seed
from stepscore.rollout.sampler import ENDINGS, Ending, RolloutCounts, RolloutRequest, RolloutSampler
from stepscore.verify.verifier import Truth

SEVEN = Truth("7")


def sampler(policy: ScriptedPolicy, at_once: int = 64) -> RolloutSampler:
    found = scripted(replace(plan(), at_once=at_once), lambda rollouts: None, policy).sampler
    assert found is not None
    return found


def request(number: int, n: int = 4) -> RolloutRequest:
    return RolloutRequest(f"Problem {number}", SEVEN, "A step.\n", n)


def test_rollouts_do_not_depend_on_order_or_batching() -> None:
    requests = [request(number) for number in range(5)]
    together = sampler(ScriptedPolicy()).sample(requests)
    policy = ScriptedPolicy()
    backwards = sampler(policy, at_once=6).sample(requests[::-1])
    assert together == backwards[::-1]
    assert policy.sizes == [4] * 5
    assert len({tuple(rollouts) for rollouts in together}) > 1


def test_calls_of_the_policy_are_filled_but_never_overfull() -> None:
    policy = ScriptedPolicy()
    sampler(policy, at_once=10).sample([request(number, n) for number, n in enumerate((4, 4, 4, 12, 2, 8))])
    assert policy.sizes == [8, 4, 12, 10]


def test_equal_requests_are_sampled_once() -> None:
    policy = ScriptedPolicy()
    one, other, same = sampler(policy).sample([request(0), request(1), request(0)])
    assert one == same != other
    assert policy.sizes == [8]


def test_truncated_and_unreadable_are_not_wrong() -> None:
    texts: list[Written] = [(RIGHT, "stop"), (WRONG, "stop"), (MUTE, "stop"), (RIGHT, "length"), (WRONG, "length")]

    def script(prefix: str, number: int, rng: random.Random) -> Written:
        return texts[number]

    (rollouts,) = sampler(ScriptedPolicy(script)).sample([request(0, len(texts))])
    assert [one.ending for one in rollouts] == ["right", "wrong", "unreadable", "truncated", "truncated"]
    counts = RolloutCounts.of(rollouts)
    assert counts == RolloutCounts(right=1, wrong=1, unreadable=1, truncated=2)
    assert counts.rollouts == 5


@pytest.mark.parametrize(
    ("counts", "value", "judged_only"),
    [
        (RolloutCounts(right=1, wrong=1, unreadable=1, truncated=2), 0.2, 0.5),
        (RolloutCounts(right=4, wrong=2, truncated=2), 0.5, pytest.approx(2 / 3)),
        (RolloutCounts(right=3), 1.0, 1.0),
        (RolloutCounts(wrong=3), 0.0, 0.0),
        (RolloutCounts(unreadable=3, truncated=2), 0.0, None),
        (RolloutCounts(unstarted=4), None, None),
        (RolloutCounts(right=1, unstarted=1), 1.0, 1.0),
    ],
)
def test_what_is_not_right_counts_against_a_step_unless_only_judged_ones_do(
    counts: RolloutCounts, value: float | None, judged_only: float | None
) -> None:
    assert counts.value() == value
    assert counts.value(judged_only=True) == judged_only


@given(st.integers(0, 2**32), st.sampled_from([0.5, 0.3, 0.1]))
@settings(max_examples=20, deadline=None)
def test_truncated_rollouts_do_not_bias_the_share(seed: int, share: float) -> None:
    """Half of the wrong rollouts are cut off, as a policy's long wrong ones are."""
    rng = random.Random(seed)
    endings = ["right" if rng.random() < share else rng.choice(["wrong", "truncated"]) for _ in range(4000)]
    counts = RolloutCounts(*(endings.count(ending) for ending in ENDINGS))
    assert counts.value() == pytest.approx(share, abs=0.05)
    biased = counts.value(judged_only=True)
    assert biased is not None
    assert biased > share + 0.03


class Narrow(ScriptedPolicy):
    """Takes prompts of 60 characters."""

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        if any(len(request.prompt) > 60 for request in requests):
            raise GeneratorError("too long", reason="context")
        return super().generate(requests)


def test_a_prefix_that_fills_the_context_has_no_rollouts_and_ends_nothing() -> None:
    long = replace(request(1, 2), prefix="A very long step. " * 9)
    short, cut, other = sampler(Narrow()).sample([request(0, 2), long, request(2, 2)])
    assert [one.ending for one in cut] == ["unstarted"] * 2
    assert [*short, *other] == [
        rollout for each in sampler(ScriptedPolicy()).sample([request(0, 2), request(2, 2)]) for rollout in each
    ]


def test_another_failure_of_the_policy_is_raised() -> None:
    class Broken(ScriptedPolicy):
        def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
            raise GeneratorError("gone", reason="refused")

    with pytest.raises(GeneratorError, match="gone"):
        sampler(Broken()).sample([request(0)])


def endings(prefix: str, truth: str, *texts: str) -> list[tuple[Ending, str | None]]:
    policy = ScriptedPolicy(lambda prefix, number, rng: (texts[number], "stop"))
    (rollouts,) = sampler(policy).sample([RolloutRequest("?", Truth(truth), prefix, len(texts))])
    return [(rollout.ending, rollout.found) for rollout in rollouts]


SHEEP = "There are 42 sheep.\nHalf of them are 21.\n"
SILENT = "I do not know how to go on."


@pytest.mark.parametrize("truth", ["42", "21"])
@pytest.mark.parametrize("prefix", ["There are 42 sheep.\n", SHEEP, "\\boxed{42} is the answer.\n"])
@pytest.mark.parametrize("text", [SILENT, "", "and done."])
def test_a_rollout_that_says_nothing_is_unreadable(prefix: str, truth: str, text: str) -> None:
    assert endings(prefix, truth, text) == [("unreadable", None)]


@pytest.mark.parametrize("stated", ["Answer: 12 apples remain.\n", "So far \\boxed{12}.\n", "The answer is 12.\n"])
def test_a_rollouts_own_answer_outvotes_one_in_the_prefix(stated: str) -> None:
    prefix = f"{stated}3 more come.\n"
    assert endings(prefix, "15", "So it is 15.", "So it is 12.") == [("right", "15"), ("wrong", "12")]


def test_an_answer_that_a_rollout_repeats_is_its_own() -> None:
    assert endings(SHEEP, "21", "So the answer is 21.", SILENT) == [("right", "21"), ("unreadable", None)]


@pytest.mark.parametrize(
    ("prefix", "text"),
    [("We get \\boxed{1", "2}."), ("The answer is ", "12, since 3 and 9 are."), ("The answer is: ", "12.")],
)
def test_an_answer_that_the_prefix_begins_and_the_rollout_ends_is_read_whole(prefix: str, text: str) -> None:
    assert endings(prefix, "12", text) == [("right", "12")]


@given(st.integers(), st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_seeds_differ_where_texts_do(seed: int, one: list[str], other: list[str]) -> None:
    assert 0 <= derive_seed(seed, *one) < 2**31
    if "\0".join(one) != "\0".join(other) and one and other:
        assert derive_seed(seed, *one) != derive_seed(seed, *other)


def test_a_plain_prompt_leaves_other_braces_alone() -> None:
    assert PlainPrompt(r"Q: {problem} \boxed{}").write("{x}", "Step.") == r"Q: {x} \boxed{}Step."


@pytest.fixture
def chatting() -> PreTrainedTokenizerFast:
    tokenizer = copy.deepcopy(tokenizers_for_tests.llama3())
    tokenizer.chat_template = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<answer>"
    return tokenizer


def test_a_chat_prompt_opens_the_sequence_once(chatting: PreTrainedTokenizerFast) -> None:
    ids = ChatPrompt(chatting, "Solve {problem}").write("3 + 4?", "First,")
    assert isinstance(ids, tuple)
    assert ids.count(chatting.bos_token_id) == 1
    assert chatting.decode(ids[1:]).replace(" ", "") == "<user>Solve3+4?<answer>First,"
