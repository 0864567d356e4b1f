"""What tests of judges share: a problem, scripted judges, and tokens with alternatives."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from transformers import AutoTokenizer

from fake_generator import FakeGenerator
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions
from stepscore.errors import (
    StepscoreError,
)
from stepscore.family.registry import bind, family_named
from stepscore.generate.protocol import Prompt, SampledToken
from stepscore.scoring.judge_scorer import JudgeScorer, open_judge
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


def spell(logprobs: dict[str, dict[str, float]]) -> Callable[[str], Sequence[SampledToken]]:
    """Tokens of a text: Yes and No are single tokens with the given alternatives."""

    def read(text: str) -> Sequence[SampledToken]:
        return [
            SampledToken(word, logprobs[word][word], logprobs[word]) if word in logprobs else SampledToken(word, 0.0)
            for word in re.findall(r"Yes|No|.", text, re.DOTALL)
        ]

    return read


TOPS = {"Yes": {"Yes": -0.2, "No": -1.9, "x": -4.0}, "No": {"No": -0.1, "y": -3.0, "z": -7.0}}
