"""Many problems at once: faults stay with their problem, budgets keep what is finished, seeds repeat a search."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from search_case import DicePolicy, FormulaPrm, noise, oracle, problems, searcher
from stepscore.errors import (
    EngineDead,
    EngineError,
    GeneratorError,
    InvalidOption,
    InvalidThreshold,
    StepscoreError,
    TooLong,
    UnknownAggregate,
    UnscorableError,
)
from stepscore.generate.protocol import Completion, Request
from stepscore.search import methods
from stepscore.search.searcher import SearchBudget, SearchProblem, trace_of
from stepscore.types import Reading, RewardRange

METHODS = {
    "greedy": {},
    "majority": {"n": 4},
    "best_of_n": {"n": 4},
    "weighted": {"n": 4},
    "adaptive": {"n": 8},
    "beam": {"n": 4, "width": 2},
    "dvts": {"n": 4, "width": 2},
    "rebase": {"width": 4},
    "particles": {"n": 4},
    "thoughts": {},
    "mcts": {"simulations": 8},
}


def test_every_search_method_passes_the_tests_below() -> None:
    assert set(METHODS) == set(methods.METHODS)


def texts(results) -> dict[str, list[str]]:
    return {result.problem.key: [each.text for each in result.candidates] for result in results}


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_search_whatever_runs_beside_it(method: str):
    together = searcher(DicePolicy(0.7, 3), FormulaPrm(oracle), method, in_flight=5, **METHODS[method])
    alone = searcher(DicePolicy(0.7, 3), FormulaPrm(oracle), method, in_flight=1, **METHODS[method])
    assert texts(together.run(problems(5))) == texts(alone.run(problems(5)))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_returns_candidates_of_whole_solutions_with_a_choice(method: str):
    for result in searcher(DicePolicy(0.7, 3), FormulaPrm(oracle), method, **METHODS[method]).run(problems(4)):
        assert result.stopped == "done"
        assert result.error is None
        assert result.choice.chosen is not None
        assert result.answer in {"0", "1"}
        assert json.loads(json.dumps(trace_of(result)))["candidates"]


def test_beam_search_without_pruning_is_best_of_n():
    """Width 1 keeps all n beams. The policy draws by its prefix, so the same solutions come out of both."""

    class ByPrefix(DicePolicy):
        def _complete(self, request: Request, sample: int) -> Completion:
            text, prompt = "", request.prompt
            while True:
                step = Request(prompt + text, type(request.sampling)(stop=("\n\n",), seed=0))
                done = super()._complete(step, sample if not text and prompt.endswith("|") else 0)
                text += done.text
                if request.sampling.stop or not done.text.endswith("\n\n"):
                    return Completion(text, "stop")

    beams = searcher(ByPrefix(0.7, 3), FormulaPrm(oracle), "beam", n=4, width=1)
    whole = searcher(ByPrefix(0.7, 3), FormulaPrm(oracle), "best_of_n", n=4)
    found = texts(beams.run(problems(6)))
    assert {key: sorted(each) for key, each in found.items()} == {
        key: sorted(each) for key, each in texts(whole.run(problems(6))).items()
    }


@dataclass
class Scripted(DicePolicy):
    """Fails or misbehaves for problem 1 only."""

    fault: str = ""
    failed: list[str] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        if self.fault == "dies" and any(str(request.prompt).startswith("problem 1|") for request in requests):
            raise GeneratorError("the policy went away")
        return super().generate(requests)

    def _complete(self, request: Request, sample: int) -> Completion:
        if not str(request.prompt).startswith("problem 1|"):
            return super()._complete(request, sample)
        match self.fault:
            case "empty":
                return Completion("\n\n", "stop")
            case "repeats":
                return Completion("again\n\n", "stop")
            case "never stops":
                return Completion("and so on ", "length")
        return super()._complete(request, sample)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", ["dies", "empty", "repeats", "never stops"])
def test_a_policy_that_misbehaves_on_one_problem_leaves_the_others_alone(method: str, fault: str):
    policy = Scripted(0.7, 3, fault=fault)
    results = {
        r.problem.key: r for r in searcher(policy, FormulaPrm(oracle), method, **METHODS[method]).run(problems(4))
    }
    assert sorted(results) == ["0", "1", "2", "3"]
    assert all(results[key].choice.chosen is not None for key in "023")
    broken = results["1"]
    if fault == "dies":
        assert broken.stopped == "error"
        assert isinstance(broken.error, GeneratorError)
    elif fault in ("empty", "repeats"):
        step_by_step = method in {"beam", "dvts", "rebase", "particles", "thoughts", "mcts"}
        assert not step_by_step or broken.choice.chosen is None
        assert (broken.choice.chosen is None) == ("step (" in broken.reason)


class Busy(FormulaPrm):
    """Scores nothing about problem 1, or nothing at all."""

    everything = False

    def score(self, solutions):
        if self.everything or any(each.problem == "problem 1" for each in solutions):
            raise EngineError("the service answered 503")
        return super().score(solutions)


class Strict(FormulaPrm):
    def score(self, solutions):
        readings = super().score(solutions)
        return [
            TooLong("too long", tokens=9, limit=8, excess=1) if each.problem == "problem 1" else reading
            for each, reading in zip(solutions, readings, strict=True)
        ]


@pytest.mark.parametrize("method", [name for name in METHODS if name not in {"greedy", "majority"}])
@pytest.mark.parametrize("prm", [Busy, Strict])
def test_a_prm_that_cannot_score_one_problem_leaves_the_others_alone(method: str, prm: type[FormulaPrm]):
    found = searcher(DicePolicy(0.7, 3), prm(oracle), method, **METHODS[method])
    results = {result.problem.key: result for result in found.run(problems(4))}
    assert results["1"].choice.chosen is None
    assert results["1"].stopped == "error"
    assert isinstance(results["1"].error, StepscoreError)
    assert results["1"].reason == results["1"].error.message
    reasons = {node.reason for node in results["1"].root.walk() if node.status == "failed"}
    assert any("PRM cannot score" in reason for reason in reasons)
    assert all(results[key].choice.chosen is not None for key in "023")


def test_a_token_budget_ends_a_search_with_what_is_finished():
    limited = searcher(DicePolicy(0.9, 3), FormulaPrm(oracle), "mcts", simulations=500, budget=SearchBudget(tokens=60))
    for result in limited.run(problems(3)):
        assert result.stopped == "tokens"
        assert result.policy_tokens < 90
        assert result.choice.chosen is not None


def test_stopping_ends_every_problem_within_a_step_and_keeps_what_is_finished():
    stop = threading.Event()
    results = []
    running = searcher(DicePolicy(0.9, 3), FormulaPrm(oracle), "mcts", simulations=10_000, stop=stop, in_flight=2)
    calls: list[int] = []
    stopped_at: list[int] = []

    def count(problem: SearchProblem, nodes: list) -> None:
        calls.append(len(nodes))
        if len(calls) == 40:
            stop.set()
            stopped_at.append(len(calls))

    object.__setattr__(running, "on_event", count)
    results += running.run(problems(5))
    assert [result.stopped for result in results] == ["cancelled"] * 2
    assert all(result.candidates for result in results)
    assert len(calls) - stopped_at[0] <= 4


def test_unknown_methods_and_options_are_refused():
    with pytest.raises(InvalidOption, match="best_of_n"):
        searcher(DicePolicy(0.5, 2), FormulaPrm(oracle), "bestofn")
    with pytest.raises(InvalidOption, match="rounds"):
        searcher(DicePolicy(0.5, 2), FormulaPrm(oracle), "beam", breadth=4)
    with pytest.raises(InvalidOption, match="n of mcts is its simulations"):
        searcher(DicePolicy(0.5, 2), FormulaPrm(oracle), "mcts", n=4, simulations=5)
    with pytest.raises(InvalidOption, match="divisible"):
        searcher(DicePolicy(0.5, 2), FormulaPrm(oracle), "beam", n=6, width=4)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("best_of_n", {"n": 0}),
        ("best_of_n", {"n": "eight"}),
        ("best_of_n", {"n": 2.5}),
        ("best_of_n", {"n": True}),
        ("beam", {"width": 0}),
        ("beam", {"n": 4, "width": -2}),
        ("beam", {"lookahead": -1}),
        ("dvts", {"rounds": 0}),
        ("rebase", {"temperature": 0}),
        ("rebase", {"temperature": math.nan}),
        ("particles", {"temperature": -1.0}),
        ("thoughts", {"keep": 0}),
        ("mcts", {"rule": "alpha"}),
        ("mcts", {"rollout_weight": 1.5}),
        ("adaptive", {"block": 0}),
        ("adaptive", {"confidence": 2}),
    ],
)
def test_options_outside_their_bounds_are_refused(method: str, options: dict):
    with pytest.raises(InvalidOption, match=next(iter(options)) if len(options) == 1 else "width"):
        searcher(DicePolicy(0.5, 2), FormulaPrm(oracle), method, **options)


@pytest.mark.parametrize("threshold", [-0.1, 1.5])
def test_a_dead_end_is_defined_within_the_range_of_the_rewards(threshold: float):
    with pytest.raises(InvalidThreshold, match="between 0 and 1"):
        searcher(DicePolicy(0.5, 2), FormulaPrm(oracle), "thoughts", threshold=threshold)


@pytest.mark.parametrize(("method", "choice"), [("best_of_n", "banana"), ("greedy", "score"), ("majority", "weighted")])
def test_a_choice_that_does_not_exist_or_lacks_its_scores_is_refused(method: str, choice: str):
    with pytest.raises(InvalidOption, match=choice):
        searcher(DicePolicy(0.5, 2), FormulaPrm(oracle), method, choice=choice)


def test_an_unknown_aggregate_is_refused_before_the_search_begins():
    with pytest.raises(UnknownAggregate):
        searcher(DicePolicy(0.5, 2), FormulaPrm(oracle), "best_of_n", final_aggregate="median")


def test_a_dead_end_is_given_no_value():
    """Every child of a node that the PRM cannot score fails, and no number is made up for it."""

    class FirstStepsOnly(FormulaPrm):
        def score(self, solutions):
            return [
                TooLong("too long", tokens=9, limit=8, excess=1) if len(each.steps) > 1 else reading
                for each, reading in zip(solutions, super().score(solutions), strict=True)
            ]

    (result,) = searcher(DicePolicy(1.0, 3), FirstStepsOnly(oracle), "mcts", simulations=12, width=2).run(problems(1))
    failed = [node for node in result.root.walk() if node.status == "failed"]
    assert failed
    assert all(node.score is None for node in failed)
    assert result.choice.chosen is None


def test_a_budget_holds_between_two_calls_of_the_policy_and_what_was_sampled_is_rated():
    """Lookahead samples again and again before anything is rated."""
    options = {"n": 4, "width": 2, "lookahead": 9}
    for depth in (1, 12):
        found = searcher(DicePolicy(0.7, depth), FormulaPrm(oracle), "dvts", budget=SearchBudget(rounds=1), **options)
        (result,) = found.run(problems(1))
        assert (result.rounds, result.answer is None) == (1, depth == 12)
        if depth == 12:
            assert (result.stopped, "raise the budget" in result.reason) == ("rounds", True)


def test_particles_refuse_rewards_that_are_no_probabilities():
    class Logits(FormulaPrm):
        @property
        def info(self):
            return replace(super().info, reward_range=RewardRange("real", -math.inf, math.inf))

    with pytest.raises(InvalidOption, match="probabilities"):
        searcher(DicePolicy(0.7, 3), Logits(oracle), "particles", n=4)
    assert searcher(DicePolicy(0.7, 3), Logits(oracle), "beam", n=4, width=2)


def test_the_smallest_temperature_leaves_the_best_particle():
    found = searcher(DicePolicy(0.7, 3), FormulaPrm(noise), "particles", n=4, temperature=1e-320)
    assert all(result.choice.chosen is not None for result in found.run(problems(3)))


class Gone(FormulaPrm):
    """Rates until its process dies."""

    calls = 0

    def score(self, solutions):
        self.calls += 1
        raise EngineDead("the service went away")


def test_a_prm_that_is_gone_is_asked_once_for_what_waits_and_every_search_says_so():
    prm = Gone(oracle)
    results = list(searcher(DicePolicy(0.7, 3), prm, "best_of_n", n=4, in_flight=5).run(problems(5)))
    assert [type(result.error) for result in results] == [EngineDead] * 5
    assert prm.calls == 1


@pytest.mark.parametrize("method", ["best_of_n", "beam", "rebase", "particles", "mcts"])
@pytest.mark.parametrize("rewards", [(), (0.5,) * 9, (math.nan,)])
def test_rewards_that_are_not_one_finite_number_for_each_step_are_an_error(method: str, rewards: tuple[float, ...]):
    class Odd(FormulaPrm):
        def score(self, solutions):
            pairs = zip(solutions, super().score(solutions), strict=True)
            return [Reading(rewards) if each.problem == "problem 1" else right for each, right in pairs]

    results = {r.problem.key: r for r in searcher(DicePolicy(0.7, 3), Odd(oracle), method).run(problems(3))}
    assert isinstance(results["1"].error, UnscorableError)
    assert all(results[key].choice.chosen is not None for key in "02")
