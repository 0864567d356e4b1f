"""During a search the engine computes what is new in each step, whichever branch it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import checkpoints
import checkpoints_causal
from search_case import DicePolicy, problems, searcher
from service_case import torch_scorer
from stepscore.generate.policy import open_policy, policy_at
from stepscore.search.methods import search_method
from stepscore.search.policy import SearchPolicy, StepSampling
from stepscore.search.rating import NodeRater
from stepscore.search.searcher import Searcher
from stepscore.types import Solution


class Watched:
    """A scorer in this process. seen: the ids of every solution, up to the last position that is read."""

    def __init__(self, folder: Path) -> None:
        self.scorer = torch_scorer(folder, "tiny")
        self.info = self.scorer.info
        self.seen: list[tuple[int, ...]] = []

    def score(self, solutions: list[Solution]) -> Any:
        for solution in solutions:
            (sequence,) = self.scorer.encode(solution).sequences
            self.seen.append(tuple(sequence.ids[: sequence.reads[-1] + 1]))
        return self.scorer.score(solutions)

    @property
    def different_tokens(self) -> int:
        """Nodes of the trie of all sequences: the least that any engine must compute."""
        return len({ids[:end] for ids in self.seen for end in range(1, len(ids) + 1)})


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("beam", {"n": 8, "width": 4}),
        ("dvts", {"n": 8, "width": 4}),
        ("rebase", {"width": 8}),
        ("mcts", {"simulations": 40}),
    ],
)
def test_no_token_of_a_tree_is_computed_twice(tmp_path: Path, method: str, options: dict[str, int]):
    watched = Watched(checkpoints.qwen_math(tmp_path / "prm"))
    before = watched.scorer.counts().computed
    results = list(searcher(DicePolicy(0.8, 5), watched, method, **options).run(problems(3)))
    assert all(result.choice.chosen is not None for result in results)
    asked, computed = sum(map(len, watched.seen)), watched.scorer.counts().computed - before
    assert computed <= 1.05 * watched.different_tokens
    assert computed < asked / 2, "the search shares most of what it asks for"


@pytest.mark.parametrize(
    ("method", "options"), [("beam", {"n": 4, "width": 2, "rounds": 4}), ("mcts", {"simulations": 12, "width": 2})]
)
def test_no_token_of_a_tree_that_a_model_wrote_is_computed_twice(
    tmp_path: Path, method: str, options: dict[str, int]
) -> None:
    """A tiny policy writes few words but many broken characters, which end its steps."""
    watched = Watched(checkpoints.qwen_math(tmp_path / "prm"))
    address = policy_at(str(checkpoints_causal.causal(tmp_path / "policy", kind="qwen2")), dtype="float32")
    generator, prompts = open_policy(address)
    sampling = StepSampling(separator="\ufffd", step_tokens=60, solution_tokens=20)
    chosen = search_method(method, options)
    running = Searcher(SearchPolicy(generator, prompts, sampling), NodeRater(watched, "last"), chosen, "last")
    before = watched.scorer.counts().computed
    results = list(running.run(problems(3)))
    generator.close()
    assert max(node.depth for result in results for node in result.root.walk()) > 2
    assert watched.scorer.counts().computed - before <= 1.05 * watched.different_tokens
