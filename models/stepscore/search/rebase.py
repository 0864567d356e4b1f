"""REBASE, reward-balanced search: each depth shares the remaining width among nodes by the softmax of their rewards.

Source: Wu et al. 2024 (arXiv 2408.00724), thu-wyz/inference_scaling, rebase.py: nodes best first, each gets
ceil(B * exp(R / T) / sum of the remaining exp(R / T)) children, and B falls by what was given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stepscore.search.beam import best_first
from stepscore.search.bounds import Count, Positive
from stepscore.search.commands import SearchTask, grow, rate
from stepscore.search.tree import SearchNode


@dataclass(frozen=True, slots=True)
class RebaseOptions:
    """width: solutions in progress or finished. temperature: of the softmax. rounds: the last runs to the end."""

    width: Count = 16
    temperature: Positive = 0.2
    rounds: Count = 25


def rebase(root: SearchNode, options: RebaseOptions) -> SearchTask[list[SearchNode]]:
    """The finished solutions."""
    counts, completed = [(root, options.width)], list[SearchNode]()
    for turn in range(options.rounds):
        grown = yield from grow(counts, to_end=turn == options.rounds - 1)
        rated = yield from rate([node for new in grown for node in new])
        completed += [node for node in rated if node.status in ("finished", "truncated")]
        going = best_first([node for node in rated if node.status == "open"])
        counts = _counts(going, options.width - len(completed), options.temperature)
        if not counts:
            break
    return completed


def _counts(nodes: Sequence[SearchNode], width: int, temperature: float) -> list[tuple[SearchNode, int]]:
    """How many children each node gets, best first; a node without any is pruned."""
    shares = share_width([node.score or 0.0 for node in nodes], max(0, width), temperature)
    for node, share in zip(nodes, shares, strict=True):
        if not share:
            node.status = "pruned"
    return [(node, share) for node, share in zip(nodes, shares, strict=True) if share]


def share_width(rewards: Sequence[float], width: int, temperature: float) -> list[int]:
    """The children of each node. rewards: best first."""
    if not rewards:
        return []
    weights = [math.exp((reward - rewards[0]) / temperature) for reward in rewards]
    shares = []
    for place, weight in enumerate(weights):
        total = sum(weights[place:])
        share = min(width, math.ceil(width * weight / total)) if width > 0 and total > 0 else 0
        shares.append(share)
        width -= share
    return shares
