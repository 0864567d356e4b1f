"""The search methods by name, each with its options."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stepscore.errors import InvalidOption
from stepscore.search.beam import BeamOptions, beam_search
from stepscore.search.best_of_n import AdaptiveOptions, BestOfNOptions, VoteWeights, adaptive, best_of_n, greedy
from stepscore.search.commands import SearchTask
from stepscore.search.dvts import DvtsOptions, dvts
from stepscore.search.mcts import MctsOptions, mcts
from stepscore.search.particles import ParticleOptions, particle_filter
from stepscore.search.rebase import RebaseOptions, rebase
from stepscore.search.tree import SearchNode
from stepscore.search.tree_of_thoughts import ThoughtOptions, tree_of_thoughts

Candidates = SearchTask[list[SearchNode]]


@dataclass(frozen=True, slots=True)
class MethodContext:
    """What a method may need beside the tree. random_: seeded for this problem. weights: of answer groups."""

    random_: random.Random
    weights: VoteWeights


@dataclass(frozen=True, slots=True)
class SearchMethod:
    """A method with its options. choice: how the winner among its candidates is chosen by default.

    aggregate: of step rewards while it searches, as in its source; "" is the model's own.
    probabilities: whether it takes scores for probabilities.
    """

    name: str
    options: Any
    start: Callable[[SearchNode, Any, MethodContext], Candidates]
    choice: str
    aggregate: str = ""
    probabilities: bool = False

    @property
    def scored(self) -> bool:
        """Whether its candidates have scores."""
        return self.name != "greedy" and getattr(self.options, "scored", True)

    def run(self, root: SearchNode, context: MethodContext) -> Candidates:
        return self.start(root, self.options, context)


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Greedy decoding has none."""


METHODS: Mapping[str, SearchMethod] = MappingProxyType(
    {
        method.name: method
        for method in (
            SearchMethod("greedy", NoOptions(), lambda root, _, __: greedy(root), "first"),
            SearchMethod("majority", BestOfNOptions(scored=False), lambda root, o, _: best_of_n(root, o), "majority"),
            SearchMethod("best_of_n", BestOfNOptions(), lambda root, o, _: best_of_n(root, o), "score"),
            SearchMethod("weighted", BestOfNOptions(), lambda root, o, _: best_of_n(root, o), "weighted"),
            SearchMethod("adaptive", AdaptiveOptions(), lambda root, o, c: adaptive(root, o, c.weights), "weighted"),
            SearchMethod("beam", BeamOptions(), lambda root, o, _: beam_search(root, o), "score", "last"),
            SearchMethod("dvts", DvtsOptions(), lambda root, o, _: dvts(root, o), "score", "last"),
            SearchMethod("rebase", RebaseOptions(), lambda root, o, _: rebase(root, o), "weighted", "last"),
            SearchMethod(
                "particles",
                ParticleOptions(),
                lambda root, o, c: particle_filter(root, o, c.random_),
                "score",
                "last",
                probabilities=True,
            ),
            SearchMethod("thoughts", ThoughtOptions(), lambda root, o, _: tree_of_thoughts(root, o), "score", "last"),
            SearchMethod("mcts", MctsOptions(), lambda root, o, _: mcts(root, o), "score", "last"),
        )
    }
)


SIZES = {"rebase": "width", "mcts": "simulations"}
"""What n means for methods that have no option of that name."""


def search_method(name: str, options: Mapping[str, Any] | None = None) -> SearchMethod:
    """The method of that name with these options over its defaults; n is the size of any method that has one.

    Raises InvalidOption, also if n and the option that it stands for differ.
    """
    if name not in METHODS:
        raise InvalidOption(f"no search method is called {name!r}; there are {', '.join(METHODS)}", method=name)
    method, given = METHODS[name], _resolve_size(name, options or {})
    known = [field.name for field in fields(method.options)]
    for key in given:
        if key not in known:
            message = f"{name} has no option {key!r}; it has {', '.join(known) or 'none'}"
            raise InvalidOption(message, option=key, known=known)
    return replace(method, options=_validate_options(method, given))


def _resolve_size(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(options)
    if name in SIZES and "n" in given:
        size, n = SIZES[name], given.pop("n")
        if given.setdefault(size, n) != n:
            raise InvalidOption(
                f"{size} of {name} is given as {given[size]} and as {n} (n of {name} is its {size}); give it once",
                option=size,
            )
    return given


def _validate_options(method: SearchMethod, given: Mapping[str, Any]) -> Any:
    kind = type(method.options)
    try:
        return TypeAdapter(kind).validate_python({**asdict(method.options), **given})
    except ValidationError as error:
        problem = error.errors()[0]
        option = str(problem["loc"][0]) if problem["loc"] else ""
        message = f"option {option} of {method.name} is {problem['input']!r}: {problem['msg']}"
        raise InvalidOption(message, option=option) from error
