"""Visit counts and bounds on trees that were computed by hand."""

from __future__ import annotations

import math

import pytest

from stepscore.search.commands import GrowNodes
from stepscore.search.mcts import MctsOptions, mcts, puct, rest, uct
from stepscore.search.tree import SearchNode, new_root
from stepscore.search.tree_of_thoughts import ThoughtOptions, tree_of_thoughts


def node(parent: SearchNode, score: float, status: str = "finished") -> SearchNode:
    child = SearchNode(parent, "x", ("x",), status=status, score=score, rewards=(score,))
    parent.children.append(child)
    return child


def run(root: SearchNode, scores: list[float], **options) -> list[int]:
    """Visits of the root's children, all of them finished, after a search."""
    task = mcts(root, MctsOptions(width=len(scores), **options))
    command = next(task)
    assert isinstance(command, GrowNodes)
    children = [node(root, score) for score in scores]
    with pytest.raises(StopIteration):
        task.send([children])
    return [child.visits for child in children]


def test_visits_follow_puct_on_a_tree_computed_by_hand():
    """Two children of values 0.8 and 0.6, prior 1/2 each.

    Visit 1: the exploration term is 0 (N_p = 0), so 0.8 wins.
    Visit 2: N_p = 1: 0.8 + 1.25 * 1 / 2 / 2 = 1.1125 against 0.6 + 1.25 / 1 / 2 = 1.225.
    Visit 3: N_p = 2: 0.8 + 1.25 * sqrt(2) / 2 / 2 = 1.242 against 0.6 + 0.442 = 1.042.
    Visit 4: N_p = 3: 0.8 + 1.25 * sqrt(3) / 3 / 2 = 1.161 against 0.6 + 0.541 = 1.141.
    Visit 5: N_p = 4: 0.8 + 1.25 * 2 / 4 / 2 = 1.1125 against 0.6 + 0.625 = 1.225.
    """
    for simulations, visits in [(1, [1, 0]), (2, [1, 1]), (3, [2, 1]), (4, [3, 1]), (5, [3, 2])]:
        assert run(new_root(), [0.8, 0.6], simulations=simulations) == visits


def test_a_step_that_ran_out_of_tokens_is_no_solution_while_another_path_can_be_written_to_its_end():
    root = new_root()
    task = mcts(root, MctsOptions(width=2, simulations=2))
    next(task)
    cut, going = node(root, 0.9, "truncated"), node(root, 0.1, "open")
    command = task.send([[cut, going]])
    assert isinstance(command, GrowNodes)
    assert (command.to_end, command.counts) == (True, ((going, 1),))
    end = node(going, 0.2)
    with pytest.raises(StopIteration) as ended:
        task.send([[end]])
    assert ended.value.value == [end]


def test_steps_that_ran_out_of_tokens_are_all_there_is_if_nothing_else_is():
    root = new_root()
    task = mcts(root, MctsOptions(width=2, simulations=2))
    next(task)
    cut = [node(root, 0.9, "truncated"), node(root, 0.1, "truncated")]
    with pytest.raises(StopIteration) as ended:
        task.send([cut])
    assert ended.value.value == cut


def test_thoughts_are_left_for_others_if_they_ran_out_of_tokens():
    root = new_root()
    task = tree_of_thoughts(root, ThoughtOptions(candidates=2, keep=2, solutions=1))
    next(task)
    cut, going = node(root, 0.9, "truncated"), node(root, 0.1, "open")
    command = task.send([[cut, going]])
    assert isinstance(command, GrowNodes)
    assert command.counts == ((going, 2),)
    end = node(going, 0.2)
    with pytest.raises(StopIteration) as ended:
        task.send([[end, node(going, 0.1)]])
    assert ended.value.value == [cut, end]


def test_uct_visits_every_child_before_it_compares():
    assert run(new_root(), [0.9, 0.1, 0.1], simulations=3, rule="uct") == [1, 1, 1]


def test_bounds_are_those_of_their_sources():
    parent = new_root()
    child = node(parent, 0.5)
    parent.visits, child.visits, child.value = 10, 4, 2.4
    assert puct(parent, child, 2, 1.0) == pytest.approx(
        0.6 + 0.5 * (math.log((10 + 19653) / 19652) + 1.25) * math.sqrt(10) / 5
    )
    assert uct(parent, child, 2, 1.0) == pytest.approx(0.6 + 2 * math.sqrt(math.log(10) / 4))
    assert rest(parent, child, 2, 1.0) == pytest.approx(0.6 + 0.7 * math.sqrt(2 * math.log(10) / 4))
