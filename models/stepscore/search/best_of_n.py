"""Best-of-N: sample N whole solutions, and let the scores or a vote choose. Also greedy decoding and adaptive N.

Sources: Cobbe et al. 2021 (arXiv 2110.14168), verifier-ranked samples; search-and-learn `best_of_n.py`
(huggingface/search-and-learn@6f81cac); adaptive N after Adaptive-Consistency (Aggarwal et al. 2023, arXiv 2305.11860).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mpmath import betainc

from stepscore.search.bounds import Count, Share, Switch
from stepscore.search.commands import SearchTask, grow, rate
from stepscore.search.tree import SearchNode

VoteWeights = Callable[[Sequence[SearchNode]], list[float]]
"""The weight of each answer group among finished solutions, heaviest first."""


@dataclass(frozen=True, slots=True)
class BestOfNOptions:
    """n: samples. scored: whether the PRM rates them (a majority vote needs no score)."""

    n: Count = 16
    scored: Switch = True


def greedy(root: SearchNode) -> SearchTask[list[SearchNode]]:
    """The likeliest solution."""
    [nodes] = yield from grow([(root, 1)], to_end=True, greedy=True)
    return nodes


def best_of_n(root: SearchNode, options: BestOfNOptions) -> SearchTask[list[SearchNode]]:
    """N samples."""
    [nodes] = yield from grow([(root, options.n)], to_end=True)
    return (yield from rate(nodes)) if options.scored else nodes


@dataclass(frozen=True, slots=True)
class AdaptiveOptions:
    """n: the most samples. block: samples between two looks. confidence: stop if the leading answer is ahead of the
    second with at least this posterior probability.
    """

    n: Count = 64
    block: Count = 4
    confidence: Share = 0.95


def adaptive(root: SearchNode, options: AdaptiveOptions, weights: VoteWeights) -> SearchTask[list[SearchNode]]:
    """Samples in blocks until one answer leads clearly."""
    nodes: list[SearchNode] = []
    for sampled in range(0, options.n, options.block):
        [new] = yield from grow([(root, min(options.block, options.n - sampled))], to_end=True)
        nodes += yield from rate(new)
        if new and probability_ahead(weights(nodes)) >= options.confidence:
            break
    return nodes


def probability_ahead(weights: Sequence[float]) -> float:
    """The posterior probability that the first answer is likelier than the second.

    weights: votes of each answer, heaviest first, counts or sums of scores. With a flat prior the share of the first of
    two answers is Beta(v1 + 1, v2 + 1)-distributed (arXiv 2305.11860, equation 4).
    """
    if not weights:
        return 0.0
    second = weights[1] if len(weights) > 1 else 0.0
    return 1.0 - float(betainc(weights[0] + 1, second + 1, 0, 0.5, regularized=True))
