"""The PRIME loop of examples/, with tiny checkpoints, a scripted policy and a service that is asked all the time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import checkpoints_causal as checkpoints
from examples.prime_loop import LoopPlan, Problem, main, run_loop
from service_case import live
from stepscore.config import EngineOptions
from stepscore.generate.prompt import PlainPrompt
from stepscore.generate.protocol import Completion, GeneratorInfo, Request
from stepscore.scoring.open import open_scorer
from stepscore_service.client import StepscoreClient

CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
PROBLEMS = [Problem(f"How much is {one} + 3?", str(one + 3)) for one in range(2, 6)]


class AddingPolicy:
    """Adds right every other time; the seed says when it begins."""

    info = GeneratorInfo("adding", "cpu", "none", 10_000)

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        return [tuple(self._complete(request, sample) for sample in range(request.sampling.n)) for request in requests]

    def _complete(self, request: Request, sample: int) -> Completion:
        one = int(str(request.prompt).split("much is ")[1].split()[0])
        wrong = random.Random(request.sampling.seed).randrange(2) ^ sample % 2
        total = one + 3 + wrong
        return Completion(f"{one} and 3 make {total}.\n\nThe answer is {total}.", "stop")

    def continuations(self, prompt: object, choices: object) -> list[tuple[float, ...]]:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.causal(tmp_path_factory.mktemp("prime") / "sft")


@pytest.fixture
def url(reference: Path) -> Iterator[str]:
    options = EngineOptions(**CPU, reference_model=reference)
    scorer = open_scorer(str(reference), name="prm", family="implicit", options=options)
    with live({"prm": scorer}, **CPU, allow_reload=True, reference_model=reference) as address:
        yield address


def test_rounds_learn_outcomes_and_no_answer_is_lost_in_a_push(reference: Path, url: str, tmp_path: Path) -> None:
    plan = LoopPlan(url, str(reference), str(reference), tmp_path / "prime", rounds=2, samples=4, rate=1e-3)
    said: list[str] = []
    first, second = run_loop(plan, PROBLEMS, AddingPolicy(), PlainPrompt(), said.append)
    assert (first.rollouts, first.right) == (16, 8)
    assert first.before.right - first.before.wrong == pytest.approx(0, abs=1e-5), "nothing is learnt yet"
    for made in (first, second):
        assert made.after.right - made.after.wrong > made.before.right - made.before.wrong, "outcomes are learnt"
        assert made.load.failures == []
        assert set(made.load.answers) <= {made.before.revision, made.after.revision}
        assert made.load.answers[made.before.revision] > 0, "the old weights answered during the push"
        assert made.after.revision != made.before.revision
    assert second.before.revision == first.after.revision
    rows = [json.loads(line) for line in (plan.out / "round-000002" / "rewards.jsonl").read_text().splitlines()]
    assert all(len(row["advantages"]) == len(row["token_rewards"]) for row in rows)
    with StepscoreClient(url) as client:
        assert client.models()[0].revision == second.after.revision
    assert len(json.loads((plan.out / "loop.json").read_text())) == 2
    assert any("0 failures" in line for line in said)


def test_a_policy_that_is_never_right_stops_the_loop(reference: Path, url: str, tmp_path: Path) -> None:
    plan = LoopPlan(url, str(reference), str(reference), tmp_path, rounds=1, samples=2)
    with pytest.raises(ValueError, match="always or never"):
        run_loop(plan, [Problem("How much is 2 + 3?", "17")], AddingPolicy(), PlainPrompt())


def test_the_command_runs_with_a_checkpoint_as_policy(reference: Path, url: str, tmp_path: Path) -> None:
    """A policy with random weights is never right, which is what the command says in the end."""
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps({"problem": "How much is 2 + 3?", "answer": "5"}) + "\n", encoding="utf-8")
    command = [str(file), "--policy", str(reference), "--model", str(reference), "--out", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="always or never"):
        main([*command, "--url", url, "--rounds", "1", "--samples", "2", "--max-tokens", "8", "--dtype", "float32"])
