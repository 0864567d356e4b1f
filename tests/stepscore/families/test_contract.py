"""What every family promises: the authors' numbers, one reward per step in order, and scores free of company."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from family_case import FamilyCase, all_cases
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions
from stepscore.errors import EmptyStep, InvalidText, MarkerInText, NoSteps, TooLong
from stepscore.family.registry import explain, families
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring
from stepscore.types import Reading, Solution

GOLDEN = Path(__file__).parents[2] / "golden"
CASES = all_cases()
CLOSE = 1e-5
"""Of the reward, if it is beyond 1: rewards that are not probabilities reach some tens."""

PROBLEM = "Janet's ducks lay 16 eggs per day. How many does she sell?"
SOLUTIONS = {
    "plain": (PROBLEM, ["Janet sells 16 - 3 - 4 = 9 duck eggs a day.", "She makes 9 * 2 = $18.", "The answer is 18."]),
    "one step": (PROBLEM, ["The answer is 18."]),
    "forty steps": ("Add.", [f"Step {n}: {n} + 4 = {n + 4}." for n in range(40)]),
    "unicode and LaTeX": (
        "Löse √2 ≤ x² 🦆?",
        ["Es gilt \\(\\frac{1}{3} + x\\) é.", "≤ 🦆🦆 and \\[x = 3\\]", "∴ 答案是 3。"],
    ),
    "long": (PROBLEM + " " + "Take all the eggs. " * 9, ["We have $x + 2 = 5$ " * 5, "so $x = 3$", "and 3 + 4 = 8 ."]),
}
BLANK_LINES = ("How many?\n\n", ["First:\n\n3 + 4 = 7.\n\n", "\n\nSecond: 8.\n", " The answer\n\n\n is 8. \n\n"])


def ask(problem: str, steps: list[str]) -> Solution:
    return Solution(problem, tuple(steps))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.id)
def case(request: pytest.FixtureRequest) -> FamilyCase:
    return request.param


@pytest.fixture(scope="module")
def folder(case: FamilyCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return case.make(tmp_path_factory.mktemp("checkpoint") / case.id)


@pytest.fixture(scope="module")
def base(case: FamilyCase, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return case.base(tmp_path_factory.mktemp("base") / "base") if case.base else None


@pytest.fixture(scope="module")
def scorer(case: FamilyCase, folder: Path, base: Path | None) -> Scoring:
    options = EngineOptions(device="cpu", dtype="float32", reference_model=base)
    name = case.family if case.named else None
    return open_scorer(str(folder), family=name, options=options, family_options=case.options)


def rewards(scorer: Scoring, *solutions: Solution) -> list[tuple[float, ...]]:
    readings = scorer.score(solutions)
    assert all(isinstance(reading, Reading) for reading in readings), readings
    return [reading.rewards for reading in readings]


@pytest.mark.parametrize("name", [*SOLUTIONS, "blank lines"])
def test_equals_the_authors_procedure(scorer: Scoring, case: FamilyCase, folder: Path, name: str) -> None:
    problem, steps = SOLUTIONS.get(name, BLANK_LINES)
    expected = case.reference(folder, problem, steps)
    (got,) = rewards(scorer, ask(problem, steps))
    assert len(expected) == len(steps)
    assert got == pytest.approx(expected, rel=CLOSE, abs=CLOSE)


def test_the_reference_tells_steps_apart(case: FamilyCase, folder: Path) -> None:
    """Guards the tests themselves: on constant rewards every comparison would pass."""
    problem, steps = SOLUTIONS["forty steps"]
    expected = case.reference(folder, problem, steps)
    assert max(expected) - min(expected) > 1e-3


def test_a_batch_of_mixed_lengths_equals_alone(scorer: Scoring) -> None:
    solutions = [ask(problem, steps) for problem, steps in SOLUTIONS.values()]
    together = rewards(scorer, *solutions)
    scorer.purge()
    alone = [rewards(scorer, solution)[0] for solution in reversed(solutions)][::-1]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, rel=CLOSE, abs=CLOSE)


WORDS = st.text(st.sampled_from("abc 0123456789+=$\\.\n√é"), min_size=1, max_size=12).filter(str.strip)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(problem=WORDS, steps=st.lists(WORDS, min_size=2, max_size=5))
def test_one_reward_per_step_and_stable_prefixes(
    scorer: Scoring, case: FamilyCase, problem: str, steps: list[str]
) -> None:
    (whole,) = rewards(scorer, ask(problem, steps))
    assert len(whole) == len(steps)
    if case.prefix_stable:
        (prefix,) = rewards(scorer, ask(problem, steps[:-1]))
        assert whole[:-1] == pytest.approx(prefix, rel=CLOSE, abs=CLOSE)


def test_rewards_lie_in_the_stated_range(scorer: Scoring) -> None:
    low, high = scorer.info.reward_range.low, scorer.info.reward_range.high
    for problem, steps in SOLUTIONS.values():
        assert all(low <= reward <= high for reward in rewards(scorer, ask(problem, steps))[0])


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.special_marker], ids=lambda case: case.id, indirect=True
)
def test_a_typed_special_marker_is_text(scorer: Scoring, case: FamilyCase, folder: Path) -> None:
    assert case.special_marker
    typed = ask(PROBLEM + case.special_marker, [f"We have {case.special_marker} 3.", case.special_marker])
    assert len(rewards(scorer, typed)[0]) == 2
    clean = scorer.encode(ask(PROBLEM, ["We have 3.", "x"]))
    marker = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(case.special_marker)
    assert any(marker in sequence.ids for sequence in clean.sequences)
    for one, other in zip(scorer.encode(typed).sequences, clean.sequences, strict=True):
        assert one.ids.count(marker) == other.ids.count(marker)


@pytest.mark.parametrize("case", [case for case in CASES if case.plain_marker], ids=lambda case: case.id, indirect=True)
def test_a_typed_plain_marker_is_refused(scorer: Scoring, case: FamilyCase) -> None:
    assert case.plain_marker
    for solution in (
        ask(PROBLEM, [f"We have {case.plain_marker} 3."]),
        ask(PROBLEM + case.plain_marker, ["We have 3."]),
    ):
        with pytest.raises(MarkerInText):
            scorer.encode(solution)


@pytest.mark.parametrize(
    ("steps", "error"),
    [([], NoSteps), (["a", " \n"], EmptyStep), (["a\ud800"], InvalidText), (["7 + 1 " * 60] * 25, TooLong)],
)
def test_what_cannot_be_scored_is_an_error(scorer: Scoring, steps: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        scorer.encode(ask(PROBLEM, steps))


def test_the_checkpoint_is_resolved(case: FamilyCase, folder: Path) -> None:
    resolution = explain(read_facts(folder))
    if not case.named:
        assert resolution.family is not None
        assert resolution.family.name == case.family
    assert resolution.reasons


def test_token_ids_are_golden(scorer: Scoring, case: FamilyCase, request: pytest.FixtureRequest) -> None:
    encoded = [scorer.encode(ask(*solution)) for solution in (SOLUTIONS["plain"], BLANK_LINES)]
    got = [[{"ids": list(s.ids), "reads": list(s.reads)} for s in one.sequences] for one in encoded]
    file = GOLDEN / f"{case.id}.json"
    if request.config.getoption("--update-golden"):
        file.write_text(json.dumps(got) + "\n")
    assert got == json.loads(file.read_text())


def test_every_family_has_a_case() -> None:
    """Judges have no forward pass and a contract of their own (test_judges.py)."""
    assert {family.name for family in families() if not family.judge} == {case.family for case in CASES}
