"""A search as plain data: every node of its tree, pruned branches included."""

from __future__ import annotations

from typing import Any

from stepscore.search.searcher import SearchResult
from stepscore.search.tree import SearchNode


def trace_of(result: SearchResult) -> dict[str, Any]:
    """The tree and the outcome, ready for JSON. Nodes are in the order of a walk; `parent` is an index among them."""
    nodes = list(result.root.walk())
    places = {id(node): place for place, node in enumerate(nodes)}
    return {
        "id": result.problem.key,
        "problem": result.problem.problem,
        "nodes": [_node(node, places) for node in nodes],
        "candidates": [
            {"node": places[id(each.node)], "score": each.score, "answer": each.answer} for each in result.candidates
        ],
        "chosen": result.choice.chosen,
        "stopped": result.stopped,
        "policy_tokens": result.policy_tokens,
        "rounds": result.rounds,
        "rated": result.rated,
    }


def _node(node: SearchNode, places: dict[int, int]) -> dict[str, Any]:
    return {
        "parent": None if node.parent is None else places[id(node.parent)],
        "text": node.text,
        "status": node.status,
        "reason": node.reason,
        "tokens": node.tokens,
        "reward": node.rewards[-1] if node.rewards else None,
        "score": node.score,
        "visits": node.visits,
        "value": node.mean_value,
    }
