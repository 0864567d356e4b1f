"""Monte Carlo tree search with PRM values.

Sources:
    puct  AlphaZero's rule as openr has it (openreasoner/openr@54ae004, reason/guided_search/tree.py `_ucb_score`):
          value + prior * (log((N_p + 19652 + 1) / 19652) + 1.25) * sqrt(N_p) / (N_c + 1). A node that was not visited
          has its PRM score as value. The prior is uniform over the children that were sampled.
    uct   rStar and rStar-Math (arXiv 2408.06195, 2501.04519): Q / N + w * sqrt(ln N_p / N), w = 2; a child that was not
          visited goes first.
    rest  ReST-MCTS* (arXiv 2406.03816): V + C * sqrt(2 ln N_p / N), C = 0.7.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stepscore.search.bounds import Count, NotNegative, Share
from stepscore.search.commands import SearchTask, grow, rate
from stepscore.search.tree import SearchNode, complete_nodes

PB_C_BASE, PB_C_INIT = 19652, 1.25
UCT_WEIGHT, REST_WEIGHT = 2.0, 0.7

SelectionRule = Literal["puct", "uct", "rest"]


@dataclass(frozen=True, slots=True)
class MctsOptions:
    """simulations: times that a path is followed from the root. width: children of an expansion. depth: steps of a
    solution; the last runs to the end. exploration: scales the exploration term; 1 is the source's constant.
    rollout_weight: share of a new leaf's value that comes from the PRM's score of a rollout to the end, 0 to 1.
    """

    simulations: Count = 32
    width: Count = 4
    depth: Count = 40
    rule: SelectionRule = "puct"
    exploration: NotNegative = 1.0
    rollout_weight: Share = 0.0


def mcts(root: SearchNode, options: MctsOptions) -> SearchTask[list[SearchNode]]:
    """Every finished solution of the tree. If there is none, the most visited path that can be continued is written to
    its end; a step that ran out of tokens cannot, and without any other it is all there is.
    """
    yield from _expand(root, options)
    for _ in range(options.simulations):
        path = select_path(root, options)
        leaf = path[-1]
        if leaf is root:
            break
        if leaf.status == "open" and leaf.visits:
            children = yield from _expand(leaf, options)
            if children:
                leaf = best_child(leaf, options)
                path.append(leaf)
        if leaf.score is not None:
            back_up(path, (yield from _value(leaf, leaf.score, options)))
    if not any(node.status == "finished" for node in root.walk()):
        yield from _finish(root)
    return complete_nodes(root)


def select_path(root: SearchNode, options: MctsOptions) -> list[SearchNode]:
    """From the root down the best children to a node that has none."""
    path = [root]
    while usable_children(path[-1]):
        path.append(best_child(path[-1], options))
    return path


def usable_children(node: SearchNode) -> list[SearchNode]:
    """Children that can be followed: rated, and not the rest of a rollout."""
    return [child for child in node.children if child.score is not None and child.reason != "rollout"]


def best_child(node: SearchNode, options: MctsOptions) -> SearchNode:
    """The child with the largest bound, the first of equals."""
    bound = _BOUNDS[options.rule]
    children = usable_children(node)
    return max(children, key=lambda child: bound(node, child, len(children), options.exploration))


def puct(parent: SearchNode, child: SearchNode, siblings: int, exploration: float) -> float:
    value = child.mean_value if child.visits else child.score or 0.0
    scale = math.log((parent.visits + PB_C_BASE + 1) / PB_C_BASE) + PB_C_INIT
    return value + exploration * scale * math.sqrt(parent.visits) / (child.visits + 1) / siblings


def uct(parent: SearchNode, child: SearchNode, siblings: int, exploration: float) -> float:
    if not child.visits:
        return math.inf
    return child.mean_value + exploration * UCT_WEIGHT * math.sqrt(math.log(max(1, parent.visits)) / child.visits)


def rest(parent: SearchNode, child: SearchNode, siblings: int, exploration: float) -> float:
    if not child.visits:
        return math.inf
    return child.mean_value + exploration * REST_WEIGHT * math.sqrt(2 * math.log(max(1, parent.visits)) / child.visits)


_BOUNDS: dict[SelectionRule, Callable[[SearchNode, SearchNode, int, float], float]] = {
    "puct": puct,
    "uct": uct,
    "rest": rest,
}


def back_up(path: list[SearchNode], value: float) -> None:
    """One more visit, of that value, for every node of the path."""
    for node in path:
        node.visits += 1
        node.value += value


def _expand(node: SearchNode, options: MctsOptions) -> SearchTask[list[SearchNode]]:
    """Rated children; if none can be rated, the node is a dead end."""
    [children] = yield from grow([(node, options.width)], to_end=node.depth >= options.depth - 1)
    rated = yield from rate(children)
    if not rated and node.parent is not None:
        node.fail("no child of it can be scored")
        node.score = None
    return rated


def _finish(root: SearchNode) -> SearchTask[None]:
    node = root
    while children := [child for child in usable_children(node) if child.status == "open"]:
        node = max(children, key=lambda child: (child.visits, child.score or 0.0))
    if node is not root and node.status == "open":
        [rest_of_it] = yield from grow([(node, 1)], to_end=True)
        yield from rate(rest_of_it)


def _value(leaf: SearchNode, value: float, options: MctsOptions) -> SearchTask[float]:
    """value: the PRM's score of the leaf's prefix; it is mixed with that of a rollout to the end."""
    share = options.rollout_weight
    if not share or leaf.status != "open":
        return value
    [rollout] = yield from grow([(leaf, 1)], to_end=True)
    rated = yield from rate(rollout)
    for node in rollout:
        node.reason = node.reason or "rollout"
    ends = [node.score for node in rated if node.score is not None]
    return (1 - share) * value + share * ends[0] if ends else value
