"""R-PRM, ThinkPRM and the critic: prompts and the reading of what scripted generators write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_generator import FakeGenerator
from judge_case import PROBLEM, STEPS, reading, scripted, text_of
from reference import judges as reference
from stepscore.errors import (
    NoVerdict,
)
from stepscore.families import critic, r_prm
from stepscore.generate.protocol import Sampling
from stepscore.types import Solution


def test_r_prm_asks_with_a_literal_backslash_n(qwen: Path) -> None:
    generator = FakeGenerator(lambda prompt, sampling: ["Fine."] * sampling.n)
    reading(scripted(qwen, "r_prm", generator))
    prompts = [text_of(qwen, request.prompt) for request in generator.requests]
    assert len(prompts) == len(STEPS)
    assert all(text.endswith("Reply: <|im_end|>\\n<|im_start|>assistant\\n") for text in prompts)
    assert f"Previous Steps: {r_prm.FIRST}\nNow Step: Step 1: {STEPS[0]}\n" in prompts[0]
    assert f"Previous Steps: Step 1: {STEPS[0]}\nStep 2: She makes" in prompts[2]
    assert generator.requests[0].sampling == Sampling(10, 8192, 0.95, 0.95, stop=("<|eot_id|>",), seed=0)


@pytest.mark.parametrize(
    ("analysis", "asked"),
    [
        ("All good.\nVerification: Is the step correct (Yes/No)? No", "Verification: Is the step correct (Yes/No)?"),
        ("  All good. \n fine\\nok\\n", "\nok" + r_prm.NO_QUESTION),
    ],
)
def test_r_prm_cuts_at_the_question_or_asks_it(qwen: Path, analysis: str, asked: str) -> None:
    seen: list[str] = []

    def choose(prompt: tuple[int, ...], choice: tuple[int, ...]) -> Sequence[float]:
        seen.append(text_of(qwen, prompt))
        return [-1.0 if text_of(qwen, choice) == " Yes" else -3.0] * len(choice)

    generator = FakeGenerator(lambda prompt, sampling: [analysis] * sampling.n, choose=choose)
    found = reading(scripted(qwen, "r_prm", generator, n="1"), Solution(PROBLEM, ("a",)))
    assert found.rewards == pytest.approx([0.8807971], abs=1e-6)
    assert all(text.endswith(asked) for text in seen)


def test_r_prm_cleans_as_the_authors_do() -> None:
    for text in ("  a \\n b\\\\n", "x = 3\\neq 4", "\\n\\n", "plain"):
        expected = reference.split_text(text.strip().strip("\\").strip("\\n").strip())
        assert r_prm.clean_completion(text) == expected


# ThinkPRM


def test_think_prm_stops_before_a_step_that_does_not_exist(qwen: Path) -> None:
    generator = FakeGenerator(lambda prompt, sampling: ["Step 1 is fine. Step 2: no such step"] * sampling.n)
    found = reading(scripted(qwen, "think_prm", generator))
    assert found.rationales[0] == "Step 1 is fine. "
    assert [request.sampling.stop[-1] for request in generator.requests] == ["Step 2:", "Step 3:", "Step 4:"]
    prompt = text_of(qwen, generator.requests[1].prompt)
    assert f"Step 1: {STEPS[0]}\nStep 2: She makes" in prompt
    assert prompt.endswith("\nLet's verify step by step:")


def test_think_prm_averages_answers_over_their_own_tokens(qwen: Path) -> None:
    def choose(prompt: tuple[int, ...], choice: tuple[int, ...]) -> Sequence[float]:
        return [-2.0 * len(choice)] + [0.0] * (len(choice) - 1)

    generator = FakeGenerator(lambda prompt, sampling: ["x"] * sampling.n, choose=choose)
    assert reading(scripted(qwen, "think_prm", generator)).rewards == pytest.approx((0.5, 0.5, 0.5))


# Critic


def test_critic_asks_in_processbenchs_template(qwen: Path) -> None:
    generator = FakeGenerator(lambda prompt, sampling: ["\\boxed{-1}"] * sampling.n)
    reading(scripted(qwen, "critic", generator))
    (request,) = generator.requests
    text = text_of(qwen, request.prompt)
    assert (
        f"<paragraph_0>\n{STEPS[0]}\n</paragraph_0>\n\n<paragraph_1>\n{STEPS[1]}\n</paragraph_1>\n\n<paragraph_2>"
        in text
    )
    assert "\n\n[Math Problem]\n\n" + PROBLEM + "\n\n[Solution]\n\n<paragraph_0>" in text
    assert text.endswith("(i.e., the index) in \\boxed{}.<|im_end|>\n<|im_start|>assistant\n")
    assert request.sampling.n == 8


def test_critic_counts_votes(qwen: Path) -> None:
    critiques = ["\\boxed{7} no, \\boxed{1}", "bad: \\boxed{ 1 }", "\\boxed{-1}", "\\boxed{2}", "none", "\\boxed{9}"]
    found = critic.reading_of(critiques, 3)
    assert found.rewards == (1.0, 0.5, 0.25)
    assert found.extras == {"votes": (0.0, 0.5, 0.25), "voted": (0.0, 1.0, 0.0)}
    assert found.rationales == (critiques[0],) * 3
    assert critic.reading_of(["\\boxed{-1}", "\\boxed{-1}", "\\boxed{0}"], 2).extras["voted"] == (0.0, 0.0)
    with pytest.raises(NoVerdict):
        critic.reading_of(["\\boxed{x}", "\\boxed{3}", "\\boxed{-2}", ""], 3)


@given(
    steps=st.integers(1, 6),
    verdicts=st.lists(st.integers(-3, 8).map(lambda index: f"so \\boxed{{{index}}}"), min_size=1, max_size=9),
)
def test_critics_rewards_fall_and_agree_with_the_votes(steps: int, verdicts: list[str]) -> None:
    try:
        found = critic.reading_of(verdicts, steps)
    except NoVerdict:
        assert all(critic.first_error(text, steps) is None for text in verdicts)
        return
    assert list(found.rewards) == sorted(found.rewards, reverse=True)
    assert found.rewards[-1] == pytest.approx(1.0 - sum(found.extras["votes"]))
    assert sum(found.extras["voted"]) in (0.0, 1.0)
