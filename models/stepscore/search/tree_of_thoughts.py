"""Tree of thoughts by depth-first search: 3 candidates for the next step, the best 2 are kept, dead ends are left.

Source: Yao et al. 2023 (arXiv 2305.10601), algorithm 2 (ToT-DFS): children best first, those under a value threshold
pruned, backtracking to the parent. The value of a state is the PRM's score of its prefix instead of a prompted one.
"""

from __future__ import annotations

from dataclasses import dataclass

from stepscore.search.beam import best_first
from stepscore.search.bounds import Count, Finite
from stepscore.search.commands import SearchTask, grow, rate
from stepscore.search.tree import SearchNode


@dataclass(frozen=True, slots=True)
class ThoughtOptions:
    """candidates: children of an expansion. keep: how many of them are explored. threshold: a child with a lower score
    is a dead end. solutions: stop after so many finished ones. expansions: the most nodes that are expanded.
    """

    candidates: Count = 3
    keep: Count = 2
    threshold: Finite = 0.0
    solutions: Count = 1
    depth: Count = 40
    expansions: Count = 64


def tree_of_thoughts(root: SearchNode, options: ThoughtOptions) -> SearchTask[list[SearchNode]]:
    """The finished solutions, in the order in which they were found, and what ran out of tokens on the way to them."""
    stack, completed, expanded, solutions = [root], list[SearchNode](), 0, 0
    while stack and solutions < options.solutions and expanded < options.expansions:
        node = stack.pop()
        if node.status in ("finished", "truncated"):
            completed.append(node)
            solutions += node.status == "finished"
            continue
        [children] = yield from grow([(node, options.candidates)], to_end=node.depth >= options.depth - 1)
        rated = best_first((yield from rate(children)))
        kept = [child for child in rated[: options.keep] if (child.score or 0.0) >= options.threshold]
        for child in rated:
            if child not in kept and child.status == "open":
                child.status = "pruned"
        stack += reversed(kept)
        expanded += 1
    return completed
