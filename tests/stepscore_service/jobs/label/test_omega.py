"""OmegaPRM's tree: the paper's formulas by hand, and properties of every tree against a policy by script."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_case import ScriptedPolicy, Written, plan, row, scripted, write
from stepscore.rollout.sampler import Rollout
from stepscore.rollout.task import run
from stepscore_service.jobs.label.methods.base import TaskLabels
from stepscore_service.jobs.label.methods.omega_tree import OmegaNode, OmegaTree
from stepscore_service.jobs.label.task import task_of


def rollout(tokens: int) -> Rollout:
    return Rollout("x", "wrong", "stop", tokens)


def grow_tree(policy: ScriptedPolicy, seed: int = 0, **options: Any) -> TaskLabels:
    tools = scripted(plan("omega", **options), lambda rollouts: None, policy)
    assert tools.sampler is not None
    return run(tools.method.label(task_of(row(seed), 1)), tools.sampler.sample)


def nodes(tree: dict[str, Any]) -> list[dict[str, Any]]:
    return [tree, *(node for child in tree["children"] for node in nodes(child))]


def test_priorities_are_the_papers() -> None:
    often, seldom = OmegaNode("a", value=0.75, visits=3), OmegaNode("b", value=0.25)
    tree = OmegaTree(OmegaNode(""), visits=4)
    tree.admit(often, (rollout(500), rollout(100)))
    tree.admit(seldom, (rollout(250),))
    expected = [
        0.5**0.25 * 0.9 + 0.125 * math.sqrt(4) / 4,
        0.5**0.25 * 0.9**0.2 + 0.125 * math.sqrt(4) / 4,
        0.5**0.75 * 0.9**0.5 + 0.125 * math.sqrt(4) / 1,
    ]
    assert [tree.priority(candidate) for candidate in tree.pool] == pytest.approx(expected)
    chosen = tree.select()
    assert chosen is not None
    assert (chosen.node, chosen.rollout.tokens, often.visits, tree.visits) == (often, 100, 4, 5)
    assert [candidate.rollout.tokens for candidate in tree.pool] == [500, 250]


@pytest.mark.parametrize("value", [None, 0.0, 1.0])
def test_only_undecided_nodes_have_candidates(value: float | None) -> None:
    tree = OmegaTree(OmegaNode(""))
    tree.admit(OmegaNode("a", value=value), (rollout(1), rollout(2)))
    assert (tree.select(), tree.spent) == (None, 2)


def test_the_first_error_of_a_rollout_is_found() -> None:
    """The script's wrong rollouts go bad in their second step, so every search ends between steps 1 and 2."""
    found = grow_tree(ScriptedPolicy(), k=8, searches=4)
    tree = found.tree
    assert tree is not None
    for node in nodes(dict(tree)):
        bad = any("BAD" in step for step in node["steps"])
        assert (node["mc_value"] == 0.0) == bad
    assert tree["searches"] == sum(node["visits"] for node in nodes(dict(tree)))
    assert {row.labels[-1] for row in found.rows} == {0.0, 1.0}


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), chance=st.floats(0.1, 0.9), k=st.integers(2, 8), budget=st.sampled_from([4, 40, 200])
)
def test_every_tree_keeps_the_rules(seed: int, chance: float, k: int, budget: int) -> None:
    def script(prefix: str, number: int, rng: random.Random) -> Written:
        return write(prefix, number, rng) if rng.random() < chance else ("I do not know.", "stop")

    policy = ScriptedPolicy(script)
    found = grow_tree(policy, seed, k=k, searches=12, budget=budget, labels="soft")
    tree = dict(found.tree or {})
    every = nodes(tree)
    assert tree["rollouts"] == sum(policy.sizes) == k * sum(node["counts"] is not None for node in every)
    assert tree["rollouts"] < budget + k * 8
    assert tree["searches"] == sum(node["visits"] for node in every) <= 12
    assert all(0.0 < node["mc_value"] < 1.0 for node in every if node["visits"])
    assert all(not node["children"] for node in every if node["mc_value"] in (None, 0.0))
    assert len(found.rows) == len(every) - 1
    assert sorted(str(row.labels[-1]) for row in found.rows) == sorted(str(node["mc_value"]) for node in every[1:])
    assert all(label is None for row in found.rows for label in row.labels[:-1])


def test_a_tree_is_the_same_again() -> None:
    one, two = (grow_tree(ScriptedPolicy(), 3, k=4, searches=6) for _ in range(2))
    assert one == two
