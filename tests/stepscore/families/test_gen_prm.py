"""GenPRM: stages, conversation, code and verdicts, with scripted critiques."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fake_generator import FakeGenerator
from judge_case import PROBLEM, STEPS, TOPS, answer, reading, scripted, spell, text_of
from reference import judges as reference
from stepscore.errors import (
    NoVerdict,
)
from stepscore.families import gen_prm
from stepscore.generate.protocol import Prompt, Sampling
from stepscore.types import Solution


@pytest.mark.parametrize("said", ["Yes", "No"])
def test_gen_prm_reads_the_verdict_as_the_authors_do(qwen: Path, said: str) -> None:
    def script(prompt: Prompt, sampling: Sampling) -> list[str]:
        stage = sampling.stop[0]
        return (
            ["is it? Yes, it may be." + stage]
            if "analyze" in stage
            else [f"print(1)\n```\n</verify>\n{{{said}}}$\n" + stage]
        )

    generator = FakeGenerator(script, read=spell(TOPS))
    scorer = scripted(qwen, "gen_prm", generator, n="3")
    found = reading(scorer)
    text = f"{{{said}}}$\n</output>\n"
    words = [token.text for token in spell(TOPS)(text)]
    expected = reference.gen_prm_reward(text, words, [TOPS.get(word, {}) for word in words])
    assert found.rewards == pytest.approx([expected] * 3, abs=1e-9)
    assert len(generator.requests) == 3 * 3 * 2
    assert all("<analyze>\nLet's analyze the Paragraph" in text for text in found.rationales)


def test_gen_prm_is_told_its_own_critiques(qwen: Path) -> None:
    def script(prompt: Prompt, sampling: Sampling) -> list[str]:
        return [f"{sampling.stop[0]}"] if "analyze" in sampling.stop[0] else ["{No}$\n</output>\n"]

    generator = FakeGenerator(script, read=spell(TOPS))
    found = reading(scripted(qwen, "gen_prm", generator, stages="analyze", first_turn="card"))
    last = text_of(qwen, generator.requests[-1].prompt)
    assert f"<|im_start|>user\nQuestion: {PROBLEM}\n\n{STEPS[0]}<|im_end|>\n<|im_start|>assistant\n<analyze>" in last
    assert found.rationales[0] in last
    assert found.rationales[1] in last
    assert last.endswith("</analyze>\n<output>\n**Judgement**: $\\boxed")
    assert f"{STEPS[2]}<analyze>\nLet's analyze the Paragraph 3 step by step: " in last


def test_gen_prm_runs_no_code_and_falls_back_once(qwen: Path) -> None:
    asked: list[str] = []

    def script(prompt: Prompt, sampling: Sampling) -> list[str]:
        asked.append(text_of(qwen, prompt))
        if sampling.max_tokens == gen_prm.FALLBACK_TOKENS:
            return ["{Yes}"]
        return ["fine.</analyze>\n"] if "analyze" in sampling.stop[0] else ["raise SystemExit\n```\n"]

    generator = FakeGenerator(script, read=spell(TOPS))
    found = reading(scripted(qwen, "gen_prm", generator), Solution(PROBLEM, ("a",)))
    assert len(asked) == 1 + gen_prm.ROUNDS + 1
    assert asked[3].count("[Code Output]\n\n```\n") == 2
    assert asked[-1].endswith("fine.</analyze>\n<output>\n**Judgement**: $\\boxed")
    assert found.rewards[0] > 0.8


def test_gen_prm_runs_code_only_in_a_sandbox_that_is_named(qwen: Path) -> None:
    asked: list[str] = []

    def script(prompt: Prompt, sampling: Sampling) -> list[str]:
        asked.append(text_of(qwen, prompt))
        if "analyze" in sampling.stop[0]:
            return ["fine.</analyze>\n"]
        code = "x = 6 * 7" if asked[-1].endswith("```python\n") else "</verify>\n{Yes}$\n</output>\n"
        return [code + "\nprint(x)\n```\nmore"]

    generator = FakeGenerator(script, read=spell(TOPS))
    scorer = scripted(qwen, "gen_prm", generator, sandbox=f"{sys.executable} -I -")
    found = reading(scorer, Solution(PROBLEM, ("a",)))
    assert asked[-1].endswith("x = 6 * 7\nprint(x)\n```\n[Code Output]\n\n```\n42\n```\n")
    assert generator.requests[-1].sampling.stop == ("</output>\n", "\n```\n")
    assert found.rationales[0].endswith("{Yes}$\n</output>\n")


def test_gen_prm_without_a_verdict_is_an_error_or_half_by_name(qwen: Path) -> None:
    generator = FakeGenerator(lambda prompt, sampling: ["who knows" + sampling.stop[0]], read=spell(TOPS))
    found = answer(scripted(qwen, "gen_prm", generator))
    assert isinstance(found, NoVerdict)
    assert found.detail == {"step": 0, "samples": 1}
    assert reading(scripted(qwen, "gen_prm", generator, no_verdict="half")).rewards == (0.5, 0.5, 0.5)


def test_gen_prm_output_stage_judges_at_once(qwen: Path) -> None:
    generator = FakeGenerator(lambda prompt, sampling: ["{Yes}$\n</output>\n"], read=spell(TOPS))
    reading(scripted(qwen, "gen_prm", generator, stages="output"))
    first = text_of(qwen, generator.requests[0].prompt)
    assert gen_prm.DIRECTLY in first
    assert first.endswith(f"{STEPS[0]}<output>\n**Judgement**: $\\boxed")
