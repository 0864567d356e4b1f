"""Step rewards on policy tokens, with Qwen2.5's tokenizer: exact, also if a token crosses a step's end."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import real_tokenizers
import tokenizers_for_tests as made
from stepscore.errors import TokensMismatch
from stepscore.rewards.token_rewards import check_offsets, place_rewards, tokens_of_steps
from stepscore.text.policy_tokenizer import PolicyTokenizer
from stepscore.text.segment import split

TEXTS = [
    "She eats 3.\n\nSo 16 - 3 = 13 are left.\n\nThe answer is 13.",
    "Erst 16 − 3 = 13 Eier.\nDann 13 · 2 = 26 €.\nAlso 26 🦆.",
    "第一步：16 - 3 = 13。\n\n第二步：13 × 2 = 26 👨‍👩‍👧。",
    "<think>\nWe have 16 (eggs).\n\n3 are eaten).\n</think>\n\nSo 13.  \n\n",
]


@pytest.fixture(scope="module", params=[real_tokenizers.qwen, made.qwen, made.llama3, made.mistral])
def tokenizer(request: pytest.FixtureRequest) -> PolicyTokenizer:
    """Qwen2.5's own, and small ones of each kind: byte-level BPE, and sentencepiece's with byte fallback."""
    return PolicyTokenizer(copy.deepcopy(request.param()))


@pytest.fixture(scope="module")
def qwen() -> PolicyTokenizer:
    return PolicyTokenizer(copy.deepcopy(real_tokenizers.qwen()))


def last_tokens(text: str, steps: list[tuple[int, int]], spans: list[tuple[int, int]]) -> list[int]:
    """By hand: for each step the last token that holds the step's last character that is not white space."""
    found = []
    for start, end in steps:
        at = start + len(text[start:end].rstrip()) - 1
        found.append(max(token for token, (first, last) in enumerate(spans) if first <= at < last))
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_each_step_s_reward_is_at_the_token_that_completes_it(tokenizer: PolicyTokenizer, text: str) -> None:
    ids, spans = tokenizer.encode(text)
    steps = [(step.start, step.end) for step in split(text)]
    tokens = tokens_of_steps(text, steps, check_offsets(text, spans))
    rewards = [1.0 + step for step in range(len(steps))]
    placed = place_rewards(rewards, tokens, len(ids))
    assert len(placed) == len(ids)
    assert {place: reward for place, reward in enumerate(placed) if reward} == dict(
        zip(last_tokens(text, steps, spans), rewards, strict=True)
    )
    for (first, last), (start, end) in zip(tokens, steps, strict=True):
        covered = text[spans[first][0] : spans[last - 1][1]]
        assert text[start:end].strip() in covered


@pytest.mark.parametrize("text", TEXTS)
def test_ids_alone_lie_where_the_tokenizer_says(tokenizer: PolicyTokenizer, text: str) -> None:
    ids, spans = tokenizer.encode(text)
    located = list(zip(tokenizer.locate(ids, text), spans, strict=True))
    # Sentencepiece's first token may be the space that no text has; the library gives it the first character.
    for (start, end), (first, last) in located[1:]:
        assert text[start:end].strip() == text[first:last].strip()


def test_a_token_that_crosses_a_step_s_end_gets_its_reward(qwen: PolicyTokenizer) -> None:
    text = "She eats 3.\n\nSo 13 are left."
    ids, spans = qwen.encode(text)
    crossing = [token for token, (start, end) in enumerate(spans) if text[start:end] == ".\n\n"]
    assert len(crossing) == 1, "Qwen2.5 writes the full stop and the blank line as one token"
    steps = [(step.start, step.end) for step in split(text)]
    assert steps[0] == (0, 11), "the step ends within the token"
    placed = place_rewards([0.25, 0.75], tokens_of_steps(text, steps, check_offsets(text, spans)), len(ids))
    assert (placed[crossing[0]], placed[-1]) == (0.25, 0.75)
    assert sum(map(bool, placed)) == 2


def test_two_steps_within_one_token_share_it(qwen: PolicyTokenizer) -> None:
    text = "AB"
    tokens = tokens_of_steps(text, [(0, 1), (1, 2)], check_offsets(text, [(0, 2), (2, 2)]))
    assert tokens == [(0, 1), (0, 1)]
    assert place_rewards([0.25, 0.5], tokens, 2) == [0.75, 0.0]


def test_a_policy_s_own_ids_need_not_be_those_of_the_tokenizer(qwen: PolicyTokenizer) -> None:
    text = "So 13 𓆏.\n\nDone 2."
    ids = [token for character in text for token in qwen.encode(character)[0]]
    assert ids != qwen.encode(text)[0]
    ends = [*ids, real_tokenizers.qwen().convert_tokens_to_ids("<|im_end|>")]
    spans = qwen.locate(ends, text)
    assert spans[-1] == (len(text), len(text)), "the end token writes nothing here"
    frog = [token for token, span in enumerate(spans) if text[slice(*span)] == "𓆏"]
    assert len(frog) > 1, "each of its bytes belongs to the character"
    tokens = tokens_of_steps(text, [(0, text.index("𓆏") + 1)], check_offsets(text, spans))
    assert tokens[0][1] == frog[-1] + 1, "the character is complete with the last of them"


@pytest.mark.parametrize(
    "change", [lambda ids: ids[:-1], lambda ids: [*ids[:3], 100, *ids[4:]], lambda ids: [*ids, 13]]
)
def test_ids_that_do_not_write_the_text_are_refused(qwen: PolicyTokenizer, change) -> None:
    ids, _ = qwen.encode(TEXTS[0])
    with pytest.raises(TokensMismatch, match="token"):
        qwen.locate(change(ids), TEXTS[0])


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([(0, 2), (2, 9)], "in a text of 5 characters"),
        ([(0, 2), (1, 1)], "character 3 .* belongs to no token"),
        ([(2, 5), (0, 2)], "after"),
        ([(0, 5), (2, 4)], "after"),
        ([(3, 2)], r"\[3, 2\)"),
        ([(-1, 5)], r"\[-1, 5\)"),
        ([], "character 0"),
    ],
)
def test_offsets_that_are_not_the_text_s_are_refused(spans: list[tuple[int, int]], said: str) -> None:
    with pytest.raises(TokensMismatch, match=said):
        check_offsets("12 45", spans)


def test_white_space_may_belong_to_no_token() -> None:
    assert len(check_offsets("12 45", [(0, 2), (3, 5), (5, 5)])) == 3


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=60).filter(lambda text: text.strip()), data=st.data())
def test_the_sum_is_that_of_the_steps_wherever_they_end(qwen: PolicyTokenizer, text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=4)))
    edges = [0, *(cut for cut in cuts if cut < len(text)), len(text)]
    steps = [(a, b) for a, b in pairwise(edges) if text[a:b].strip()]
    spans = [(place, place + 1) for place in range(len(text))]
    placed = place_rewards([1.0] * len(steps), tokens_of_steps(text, steps, check_offsets(text, spans)), len(spans))
    assert sum(placed) == len(steps)
    assert all(not text[place].isspace() for place, reward in enumerate(placed) if reward)
