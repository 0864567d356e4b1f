"""Particle filtering: N solutions in parallel, resampled after each step in proportion to their odds of being right.

Source: Puri et al. 2025 (arXiv 2502.01618); its_hub `ParticleFiltering` (Red-Hat-AI-Innovation-Team/its_hub@e4d00d1,
its_hub/algorithms/particle_gibbs.py): the log-weight of a particle is logit(clip(score, 1e-7)), all particles, finished
ones included, are resampled by the softmax of the latest log-weights, and the particle of the largest weight is chosen.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from stepscore.search.bounds import Count, Positive
from stepscore.search.commands import SearchTask, grow_in_order, rate
from stepscore.search.tree import SearchNode

CLIP = 1e-7


@dataclass(frozen=True, slots=True)
class ParticleOptions:
    """n: particles. rounds: the last runs to the end. temperature: divides the log-weights before the softmax."""

    n: Count = 16
    rounds: Count = 40
    temperature: Positive = 1.0


def particle_filter(root: SearchNode, options: ParticleOptions, random_: random.Random) -> SearchTask[list[SearchNode]]:
    """The particles that ended; one node may be several particles."""
    particles = [root] * options.n
    for turn in range(options.rounds):
        ended = [node for node in particles if node.status != "open"]
        going = [node for node in particles if node.status == "open"]
        grown = yield from grow_in_order(going, to_end=turn == options.rounds - 1)
        alive = (yield from rate(grown)) + ended
        if not alive:
            return []
        particles = random_.choices(alive, weights(alive, options.temperature), k=options.n)
        _prune(alive, particles)
        if all(node.status != "open" for node in particles):
            break
    return [node for node in particles if node.status in ("finished", "truncated")]


def weights(nodes: Sequence[SearchNode], temperature: float) -> list[float]:
    """softmax(logit(score) / temperature); scores are probabilities."""
    logits = [log_odds(node.score or 0.0) for node in nodes]
    highest = max(logits)
    return [math.exp((logit - highest) / temperature) for logit in logits]


def log_odds(score: float) -> float:
    clipped = min(max(score, CLIP), 1 - CLIP)
    return math.log(clipped / (1 - clipped))


def _prune(alive: Sequence[SearchNode], particles: Sequence[SearchNode]) -> None:
    kept = set(particles)
    for node in alive:
        if node not in kept and node.status == "open":
            node.status = "pruned"
