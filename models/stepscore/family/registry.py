"""The register of families: what a family is, which there are, and which one reads a checkpoint."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import entry_points
from types import MappingProxyType

from stepscore.config import CheckpointFacts
from stepscore.errors import InvalidInput, InvalidOption, UnknownFamily
from stepscore.family.heads import Head
from stepscore.family.layout import Layout, LayoutContext
from stepscore.family.readers import Reader
from stepscore.family.trained_reading import TrainedReading
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import PROBABILITY, RewardRange, Solution

PROBE = Solution("What is 1 + 1?", ("1 + 1 = 2.", "So it is 2."))
ENTRY_POINTS = "stepscore.families"
SCRIPTED = "equal prompts and readings of scripted texts; what a server samples was not compared"
"""Remark of a comparison of a judge."""
CLASS_ON_HUB = "equal; the model's class is on the Hub alone, and a transcription of it was run"
"""Remark of a comparison of a checkpoint that brings its own code."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A family bound to one checkpoint: how text becomes ids, which numbers are read, what they mean."""

    layout: Layout
    head: Head
    read: Reader


@dataclass(frozen=True, slots=True)
class Evidence:
    """By what a family recognises its checkpoints.

    architectures: full-match patterns on `architectures` in config.json.
    tensors: patterns of which each must full-match some tensor name in the weights.
    repositories: patterns searched, case-insensitively, in the Hub id or folder name.
    """

    architectures: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """Somebody else's code that this family was run beside (`make test-authors`).

    repository: owner/name on GitHub. commit: its first seven digits. entry: the files (and functions) that were run.
    remark: the options that make the family equal it, or what differs on purpose.
    """

    repository: str
    commit: str
    entry: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """Something that a user may set about a family. choices: empty if any text (a number, a path) is meant."""

    default: str
    meaning: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Training:
    """How a new checkpoint of a family is made from a causal language model, so that the family reads it.

    architecture: what follows the base's name (Qwen2, Llama, ...) in config.json.
    layers: state-dict names of the head's linear layers, ReLU between them; empty if the vocabulary is read.
    outputs: numbers that the head gives at each position. marker: a token that the layout needs in the vocabulary.
    chat: whether the layout needs the base's chat template. config: further entries of config.json.
    reading: makes a step's number from several reads, given the tokenizer and config.json; None if every read is one.
    """

    architecture: str
    layers: tuple[str, ...] = ()
    outputs: int = 1
    marker: str | None = None
    chat: bool = False
    config: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    reading: Callable[[StepTokenizer, Mapping[str, object]], TrainedReading] | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """One line of checkpoints: how it lays out text and how its rewards are read.

    name: stable identifier. title, source, licence, checkpoints: for people.
    prompt: the layout shown literally. marker: the token or place at which rewards are read. formula: the reward.
    rewards: the interval and kind of a reward. aggregate, threshold: defaults for the score and the first error.
    markers: added tokens that are plain text when a user types them.
    compared: outside code that gave the same ids and rewards; empty if there is none.
    build: binds the family to a checkpoint. training: how its checkpoints are made; None if we make none.
    judge: its rewards are read from what a generator writes. reference: they are read against a second model.
    """

    name: str
    title: str
    source: tuple[str, ...]
    licence: str
    checkpoints: tuple[str, ...]
    prompt: str
    marker: str
    formula: str
    build: Callable[[LayoutContext], Parts]
    evidence: Evidence
    reward_range: RewardRange = PROBABILITY
    aggregate: str = "min"
    threshold: float = 0.5
    markers: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))
    compared: tuple[Compared, ...] = ()
    judge: bool = False
    reference: bool = False
    training: Training | None = None

    def settle(self, given: Mapping[str, str]) -> dict[str, str]:
        """The options with defaults filled in. Raises InvalidOption for an unknown key or choice."""
        for key, value in given.items():
            option = self.options.get(key)
            if option is None:
                raise InvalidOption(f"family {self.name} has no option {key!r}", option=key, known=sorted(self.options))
            if option.choices and value not in option.choices:
                raise InvalidOption(
                    f"{key}={value!r} is none of {', '.join(option.choices)}", option=key, known=list(option.choices)
                )
        return {key: given.get(key, option.default) for key, option in self.options.items()}


@lru_cache(maxsize=1)
def families() -> tuple[Family, ...]:
    """Every family: the files of `stepscore.families`, then the entry points of other distributions, by name."""
    found = [*_own_families(), *(point.load() for point in entry_points(group=ENTRY_POINTS))]
    return tuple(sorted(found, key=lambda family: family.name))


def _own_families() -> Iterable[Family]:
    package = importlib.import_module("stepscore.families")
    for module in pkgutil.iter_modules(package.__path__):
        members = vars(importlib.import_module(f"{package.__name__}.{module.name}")).values()
        yield from (member for member in members if isinstance(member, Family))


def family_named(name: str) -> Family:
    """Raises UnknownFamily with the names that exist."""
    known = {family.name: family for family in families()}
    if name not in known:
        raise UnknownFamily(f"no family is called {name!r}; there are {', '.join(known)}", families=sorted(known))
    return known[name]


def bind(family: Family, facts: CheckpointFacts, options: Mapping[str, str]) -> Parts:
    """The family's layout, head and reader for this checkpoint.

    A solution is written once, so that a chat template that fails does so here. Raises CheckpointError.
    """
    tokenizer = StepTokenizer.open(str(facts.path), family.markers)
    parts = family.build(LayoutContext(tokenizer, facts.config, family.settle(options), frozenset(facts.shapes)))
    with suppress(InvalidInput):  # a family may refuse the probe's text and take others
        parts.layout.encode(PROBE)
    return parts


@dataclass(frozen=True, slots=True)
class Resolution:
    """The family that reads a checkpoint, and the reasons in the order in which they were weighed."""

    family: Family | None
    reasons: tuple[str, ...]


def resolve(facts: CheckpointFacts) -> Family:
    """The family of a checkpoint: by architecture, then tensors, then repository name.

    Raises UnknownFamily with what exists.
    """
    resolution = explain(facts)
    if resolution.family is None:
        names = [family.name for family in families()]
        raise UnknownFamily(
            f"no family reads {facts.name}: {'; '.join(resolution.reasons)}. "
            f"Name one with --family: {', '.join(names)}",
            path=str(facts.path),
            families=names,
        )
    return resolution.family


def explain(facts: CheckpointFacts) -> Resolution:
    """Weigh the evidence level by level; each level narrows the families that are left."""
    left, reasons = list(families()), []
    narrowed = False
    for label, seen, matches in _LEVELS:
        matching = [family for family in left if matches(family, facts)]
        names = ", ".join(family.name for family in matching) or "no family"
        reasons.append(f"{label} {seen(facts)}: {names}")
        if matching:
            left, narrowed = matching, True
        if len(matching) == 1:
            return Resolution(matching[0], tuple(reasons))
    general = [family for family in left if not family.evidence.repositories and _has_its_tensors(family, facts)]
    if narrowed and len(general) == 1:
        reasons.append(f"{general[0].name} is the general reading of those")
        return Resolution(general[0], tuple(reasons))
    return Resolution(None, tuple(reasons))


def _by_architecture(family: Family, facts: CheckpointFacts) -> bool:
    return any(re.fullmatch(p, name) for p in family.evidence.architectures for name in facts.architectures)


def _by_tensors(family: Family, facts: CheckpointFacts) -> bool:
    patterns = family.evidence.tensors
    return bool(patterns) and all(any(re.fullmatch(p, key) for key in facts.shapes) for p in patterns)


def _has_its_tensors(family: Family, facts: CheckpointFacts) -> bool:
    return not family.evidence.tensors or _by_tensors(family, facts)


def _by_repository(family: Family, facts: CheckpointFacts) -> bool:
    return any(re.search(pattern, facts.name, re.IGNORECASE) for pattern in family.evidence.repositories)


def _distinctive(facts: CheckpointFacts) -> str:
    return ", ".join(key for key in facts.shapes if ".layers." not in key and not key.endswith("norm.weight"))


_LEVELS: tuple[tuple[str, Callable[[CheckpointFacts], str], Callable[[Family, CheckpointFacts], bool]], ...] = (
    ("architectures", lambda facts: ", ".join(facts.architectures) or "(none)", _by_architecture),
    ("tensors", _distinctive, _by_tensors),
    ("name", lambda facts: facts.name, _by_repository),
)
