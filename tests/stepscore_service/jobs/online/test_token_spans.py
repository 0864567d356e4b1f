"""Token rewards can be aligned: each names its token and the characters of the step that the token holds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import checkpoints_causal as checkpoints
from stepscore.errors import InvalidInput
from stepscore.families.implicit import AnswerTokens
from stepscore.family.layout import ChatTemplate
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.online.rounds import Rounds
from stepscore_service.jobs.online.settings import UpdateSettings
from stepscore_service.jobs.online.update import update

STRIPPED = st.text(min_size=1, max_size=12).filter(lambda text: text == text.strip())
STEPS = ("2 + 3 = 5", "So it is 5, \u00e9\U0001f600 indeed.", "Step 3: done.")


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.causal(tmp_path_factory.mktemp("spans") / "sft", kind=request.param)


def layout(folder: Path, step_prefix: str = "missing") -> AnswerTokens:
    tokenizer = StepTokenizer.open(str(folder))
    return AnswerTokens(tokenizer, ChatTemplate(tokenizer), step_prefix, early=True)


def check_cover(found: AnswerTokens, solution: Solution) -> None:
    """The spans of a step cover it, in order, and a token that holds whole characters decodes to them."""
    (sequence,) = found.encode(solution).sequences
    spans = found.spans(solution)
    assert len(spans) == len(sequence.targets)
    for step, text in enumerate(solution.steps):
        own = [
            (span[1], span[2], token)
            for span, token in zip(spans, sequence.targets, strict=True)
            if span and span[0] == step
        ]
        covered = 0
        for start, end, token in own:
            assert start <= covered <= end <= len(text)
            covered = end
            decoded = found.tokenizer.inner.decode([token])
            if "\ufffd" not in decoded:
                assert text[start:end] in decoded
        assert covered == len(text)


@pytest.mark.parametrize("step_prefix", ["missing", "always", "never"])
def test_every_character_of_a_step_belongs_to_a_token(folder: Path, step_prefix: str) -> None:
    found = layout(folder, step_prefix)
    check_cover(found, Solution("How much?", STEPS))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.text(min_size=1, max_size=12).filter(lambda text: text == text.strip()), min_size=1, max_size=4)
)
def test_the_same_for_any_steps(folder: Path, steps: list[str]) -> None:
    solution = Solution("How much?", tuple(steps))
    found = layout(folder)
    try:
        found.encode(solution)
    except InvalidInput:
        return
    check_cover(found, solution)


def test_the_prefix_that_the_family_writes_belongs_to_no_step(folder: Path) -> None:
    found = layout(folder)
    solution = Solution("How much?", STEPS)
    (sequence,) = found.encode(solution).sequences
    pairs = zip(sequence.targets, found.spans(solution), strict=True)
    own = found.tokenizer.inner.decode([token for token, span in pairs if span is None])
    assert "Step" in own
    assert "indeed" not in own


def test_a_round_returns_a_token_and_its_place_for_every_token_reward(folder: Path, tmp_path: Path) -> None:
    rollouts = [Labelled(Solution("How much?", STEPS), (None,) * 3, outcome) for outcome in (True, False)]
    chosen = UpdateSettings(str(folder), str(folder), samples=2)
    made = update(chosen, rollouts, "digest", Rounds(tmp_path), lambda said: None)
    rows = [json.loads(line) for line in (made.folder / "rewards.jsonl").read_text().splitlines()]
    expected = layout(folder)
    solution = Solution("How much?", STEPS)
    for row in rows:
        assert row["token_ids"] == list(expected.encode(solution).sequences[0].targets)
        assert row["token_spans"] == [span and list(span) for span in expected.spans(solution)]
        assert len(row["token_ids"]) == len(row["token_rewards"]) == len(row["returns"]) == len(row["advantages"])
        assert all(map(math.isfinite, row["token_rewards"]))
