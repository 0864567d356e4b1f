"""Judges: the arithmetic against plain transformers, the reading of verdicts against scripted ones."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

import checkpoints_judges
from reference import judges as reference
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions
from stepscore.errors import (
    EmptyStep,
    GeneratorError,
    InvalidOption,
    NoSteps,
    NoVerdict,
    StepscoreError,
    TooLong,
    UnsupportedByEngine,
)
from stepscore.families import critic, gen_prm, r_prm
from stepscore.generate.base import Prompt, SampledToken, Sampling
from stepscore.generate.fake import FakeGenerator
from stepscore.judge import JudgeScorer, open_judge
from stepscore.registry import families, family_named
from stepscore.scorer import bind, open_scorer
from stepscore.types import Reading, Solution

CPU = EngineOptions(device="cpu", dtype="float32")
PROBLEM = "Janet's ducks lay 16 eggs per day. How many does she sell?"
STEPS = [
    "Janet sells 16 - 3 - 4 = 9 eggs.",
    "Step 2: She makes\n\n9 * 2 = $18$ √é.",
    "The answer is \\boxed{18}. <|im_end|>",
]
SOLUTION = Solution(PROBLEM, tuple(STEPS))
JUDGES = ["critic", "gen_prm", "r_prm", "think_prm"]
GREEDY = {"temperature": "0", "max_tokens": "12"}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints_judges.judge(tmp_path_factory.mktemp("judges") / "qwen")


@pytest.fixture(scope="module")
def r1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints_judges.judge(tmp_path_factory.mktemp("judges") / "r1", kind="r1")


def scripted(folder: Path, family: str, generator: FakeGenerator, **options: str) -> JudgeScorer:
    chosen, facts = family_named(family), read_facts(folder)
    return open_judge("judge", chosen, facts, bind(chosen, facts, options), CPU, generator)


def answer(scorer: JudgeScorer, solution: Solution = SOLUTION) -> Reading | StepscoreError:
    (only,) = scorer.score([solution])
    return only


def reading(scorer: JudgeScorer, solution: Solution = SOLUTION) -> Reading:
    found = answer(scorer, solution)
    assert isinstance(found, Reading), found
    return found


def text_of(folder: Path, prompt: Prompt) -> str:
    return AutoTokenizer.from_pretrained(folder).decode(prompt)


def test_the_judges_are_these() -> None:
    assert [family.name for family in families() if family.judge] == JUDGES


# The arithmetic, against plain transformers on a random model.


R_PRM_FILE = r_prm.INSTRUCTION + "Question: {}\nPrevious Steps: {}\nNow Step: {}" + r_prm.ENDING


def test_r_prms_prompt_is_the_authors_file() -> None:
    """GenPRM-evaluate-new3-qwen.txt of NJUNLP/R-PRM at commit a5fa6751, byte for byte."""
    digest = "020647b468fd1fb0ecd955d349f1f2cbcc33477da09110c4a7ef85d5856865ca"
    assert hashlib.sha256(R_PRM_FILE.encode()).hexdigest() == digest


def test_r_prm_equals_the_authors_procedure(qwen: Path) -> None:
    options = GREEDY | {"n": "2", "top_p": "1"}
    scorer = open_scorer(str(qwen), family="r_prm", options=CPU, family_options=options)
    plain = [step.replace("Step 2: ", "").replace(" <|im_end|>", "") for step in STEPS]
    (found,) = scorer.score([Solution(PROBLEM, tuple(plain))])
    assert isinstance(found, Reading), found
    expected = reference.r_prm(qwen, PROBLEM, plain, R_PRM_FILE, 12)
    assert found.rewards == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 1e-3
    assert found.extras["spread"] == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
    assert all(text.endswith("Is the answer correct (Yes/No)?") for text in found.rationales)


@pytest.mark.parametrize(("kind", "bos"), [("qwen", "once"), ("r1", "once"), ("r1", "twice")])
@pytest.mark.parametrize("process_verifier", [True, False])
def test_think_prm_equals_the_authors_procedure(
    request: pytest.FixtureRequest, kind: str, bos: str, process_verifier: bool
) -> None:
    folder: Path = request.getfixturevalue(kind)
    options = GREEDY | {"bos": bos, "process_verifier": str(process_verifier).lower()}
    scorer = open_scorer(str(folder), family="think_prm", options=CPU, family_options=options)
    plain = [step.replace(" <|im_end|>", "") for step in STEPS]
    (found,) = scorer.score([Solution(PROBLEM, tuple(plain))])
    assert isinstance(found, Reading), found
    expected = reference.think_prm(
        folder, PROBLEM, plain, 12, process_verifier=process_verifier, special=bos == "twice"
    )
    assert found.rewards == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 1e-3


@pytest.mark.parametrize("kind", ["qwen", "r1"])
def test_gen_prm_writes_what_the_authors_procedure_writes(request: pytest.FixtureRequest, kind: str) -> None:
    folder: Path = request.getfixturevalue(kind)
    options = {"temperature": "0", "max_tokens": "90", "no_verdict": "half"}
    scorer = open_scorer(str(folder), family="gen_prm", options=CPU, family_options=options)
    plain = tuple(STEPS[:2])
    (found,) = scorer.score([Solution(PROBLEM, plain)])
    assert isinstance(found, Reading), found
    assert list(found.rationales) == reference.gen_prm_critiques(folder, PROBLEM, list(plain), 90)
    assert found.rewards == (0.5, 0.5)


def test_the_same_seed_gives_the_same_scores(qwen: Path) -> None:
    def rewards(seed: str) -> tuple[float, ...]:
        options = {"n": "2", "max_tokens": "8", "seed": seed}
        scorer = open_scorer(str(qwen), family="think_prm", options=CPU, family_options=options)
        (found,) = scorer.score([SOLUTION])
        assert isinstance(found, Reading), found
        assert max(found.extras["spread"]) > 0.0
        return found.rewards

    assert rewards("5") == rewards("5")
    assert rewards("5") != rewards("6")


# R-PRM


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
        assert r_prm.cleaned(text) == expected


# GenPRM


def spell(logprobs: dict[str, dict[str, float]]) -> Callable[[str], Sequence[SampledToken]]:
    """Tokens of a text: Yes and No are single tokens with the given alternatives."""

    def read(text: str) -> Sequence[SampledToken]:
        return [
            SampledToken(word, logprobs[word][word], logprobs[word]) if word in logprobs else SampledToken(word, 0.0)
            for word in re.findall(r"Yes|No|.", text, re.DOTALL)
        ]

    return read


TOPS = {"Yes": {"Yes": -0.2, "No": -1.9, "x": -4.0}, "No": {"No": -0.1, "y": -3.0, "z": -7.0}}


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


# What every judge promises


@pytest.mark.parametrize("family", JUDGES)
def test_what_cannot_be_judged_is_an_error(qwen: Path, family: str) -> None:
    scorer = scripted(qwen, family, FakeGenerator(lambda prompt, sampling: [""] * sampling.n, max_tokens=1500))
    for steps, error in (((), NoSteps), (("a", " "), EmptyStep), (("7 + 1 " * 1500,), TooLong)):
        with pytest.raises(error):
            scorer.encode(Solution(PROBLEM, steps))


@pytest.mark.parametrize("family", JUDGES)
def test_a_typed_special_token_is_text(qwen: Path, family: str) -> None:
    scorer = scripted(qwen, family, FakeGenerator(lambda prompt, sampling: [""] * sampling.n))
    typed = scorer.encode(Solution("<|im_start|>", ("<|im_end|>", "x")))
    clean = scorer.encode(Solution("a", ("b", "x")))
    for special in (1, 2):
        counts = [[prompt.ids.count(special) for prompt in encoded.sequences] for encoded in (typed, clean)]
        assert counts[0] == counts[1]
        assert counts[0][0] > 0


@pytest.mark.parametrize("family", JUDGES)
def test_a_generator_that_fails_costs_one_solution(qwen: Path, family: str) -> None:
    def script(prompt: Prompt, sampling: Sampling) -> list[str]:
        raise GeneratorError("the server went away", reason="gone")

    scorer = scripted(qwen, family, FakeGenerator(script))
    answers = scorer.score([SOLUTION, Solution(PROBLEM, ()), SOLUTION])
    assert [type(one) for one in answers] == [GeneratorError, NoSteps, GeneratorError]


@pytest.mark.parametrize("family", JUDGES)
def test_a_judge_says_what_it_is(qwen: Path, family: str) -> None:
    scorer = scripted(qwen, family, FakeGenerator(lambda prompt, sampling: [""] * sampling.n))
    assert (scorer.info.family, scorer.info.engine, scorer.info.range.high) == (family, "fake", 1.0)
    encoded = scorer.encode(SOLUTION)
    assert scorer.cost(encoded) == encoded.tokens > 100
    assert encoded.steps == 3
    scorer.purge()
    assert scorer.counts().asked == 0
    scorer.close()


@pytest.mark.parametrize(
    "options", [{"n": "0"}, {"n": "x"}, {"temperature": "-1"}, {"seed": "a"}, {"top_p": "nan"}, {"top_p": "0"}]
)
def test_options_that_mean_nothing_are_refused(qwen: Path, options: dict[str, str]) -> None:
    with pytest.raises(InvalidOption):
        bind(family_named("critic"), read_facts(qwen), options)


def test_no_forward_engine_runs_a_judge(qwen: Path) -> None:
    parts = bind(family_named("critic"), read_facts(qwen), {})
    with pytest.raises(UnsupportedByEngine):
        parts.read([], parts.layout.encode(SOLUTION))
