"""Diverse verifier tree search: N / M independent trees, each of which follows its best child.

Source: search-and-learn `_dvts` (huggingface/search-and-learn@6f81cac,
src/sal/search/diverse_verifier_tree_search.py). The leaves of a tree's last expansion are its candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

from stepscore.errors import InvalidOption
from stepscore.search.bounds import Count, CountOrZero
from stepscore.search.commands import SearchTask, grow, look_ahead
from stepscore.search.tree import SearchNode

BOX = "boxed{"
"""A text that holds it is complete, as in the source."""


@dataclass(frozen=True, slots=True)
class DvtsOptions:
    """n: candidates. width: children of an expansion (M), in n / width trees. rounds: the last runs to the end."""

    n: Count = 16
    width: Count = 4
    rounds: Count = 40
    lookahead: CountOrZero = 0

    def __post_init__(self) -> None:
        if self.n % self.width:
            raise InvalidOption(f"DVTS needs n divisible by width; n is {self.n}, width {self.width}")


def dvts(root: SearchNode, options: DvtsOptions) -> SearchTask[list[SearchNode]]:
    """The leaves of every tree's last expansion."""
    trees = options.n // options.width
    tips, leaves = [root] * trees, [list[SearchNode]()] * trees
    alive = list(range(trees))
    for turn in range(options.rounds):
        last = turn == options.rounds - 1
        grown = yield from _expand([tips[tree] for tree in alive], options.width, to_end=last)
        rated = yield from look_ahead([node for new in grown for node in new], 0 if last else options.lookahead)
        usable = set(rated)
        for tree, new in zip(list(alive), grown, strict=True):
            leaves[tree] = [node for node in new if node in usable]
            if not leaves[tree] or not _advance(tips, tree, leaves[tree]):
                alive.remove(tree)
        if not alive:
            break
    return [leaf for each in leaves for leaf in each]


def _expand(tips: list[SearchNode], width: int, *, to_end: bool) -> SearchTask[list[list[SearchNode]]]:
    """`width` children for each tip; tips that are one node (the root) are one request."""
    counts = {tip: width * tips.count(tip) for tip in dict.fromkeys(tips)}
    grown = yield from grow(list(counts.items()), to_end=to_end)
    children = {tip: iter(new) for tip, new in zip(counts, grown, strict=True)}
    return [[next(children[tip]) for _ in range(width)] for tip in tips]


def _advance(tips: list[SearchNode], tree: int, leaves: list[SearchNode]) -> bool:
    """Follow the best leaf; whether it can be continued."""
    best = max(leaves, key=lambda node: node.score if node.score is not None else float("-inf"))
    for leaf in leaves:
        if leaf is not best and leaf.status == "open":
            leaf.status = "pruned"
    if best.status == "open" and BOX in best.prefix:
        best.status = "finished"
    tips[tree] = best
    return best.status == "open"
