"""Building blocks of judges: families whose rewards are read from what a generator writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol, runtime_checkable

from stepscore.errors import InvalidOption, UnsupportedByEngine
from stepscore.family.heads import VerdictHead
from stepscore.family.registry import Option, Parts
from stepscore.generate.protocol import Generator, Sampling
from stepscore.types import EncodedSolution, Reading, Solution, Values


@runtime_checkable
class Judge(Protocol):
    """The layout of a judge family: it writes the prompts, and it puts them to a generator."""

    def encode(self, solution: Solution) -> EncodedSolution:
        """The prompts that are known before anything is generated. Raises InvalidInput."""
        ...

    def judge(self, solution: Solution, generator: Generator) -> Reading:
        """One reward and one rationale per step. Raises GeneratorError, NoVerdict."""
        ...


def judge_parts(judge: Judge) -> Parts:
    """A family's parts if nothing is read from a forward pass."""
    return Parts(judge, VerdictHead(), _no_numbers)


def _no_numbers(values: Sequence[Values], encoded: EncodedSolution) -> NoReturn:
    raise UnsupportedByEngine("a judge's verdicts are read from text; no forward engine has numbers for it")


def sampling_options(*, n: int, temperature: float, top_p: float, max_tokens: int, top_k: int = 0) -> dict[str, Option]:
    """What a user may say about sampling, with a family's own defaults."""
    return {
        "n": Option(str(n), "samples of each judgement"),
        "temperature": Option(str(temperature), "sampling temperature; 0 takes the likeliest token"),
        "top_p": Option(str(top_p), "nucleus of the sampling"),
        "top_k": Option(str(top_k), "sample from the k likeliest tokens; 0 from all"),
        "max_tokens": Option(str(max_tokens), "tokens of one judgement"),
        "seed": Option("0", "seed of the sampling; empty is random"),
    }


def sampling_of(options: Mapping[str, str]) -> Sampling:
    """The sampling that the settled options ask for. Raises InvalidOption."""
    top_p = float_option(options, "top_p")
    if not 0.0 < top_p <= 1.0:
        raise InvalidOption(f"top_p={options['top_p']!r} does not lie in (0, 1]", option="top_p", known=[])
    return Sampling(
        n=int_option(options, "n", least=1),
        temperature=float_option(options, "temperature"),
        top_p=top_p,
        top_k=int_option(options, "top_k"),
        max_tokens=int_option(options, "max_tokens", least=1),
        seed=int_option(options, "seed") if options["seed"] else None,
    )


def int_option(options: Mapping[str, str], key: str, least: int = 0) -> int:
    text = options[key]
    if not text.isdecimal() or int(text) < least:
        raise InvalidOption(f"{key}={text!r} is not a whole number from {least}", option=key, known=[])
    return int(text)


def float_option(options: Mapping[str, str], key: str) -> float:
    try:
        found = float(options[key])
    except ValueError:
        found = -1.0
    if not 0.0 <= found < float("inf"):
        raise InvalidOption(f"{key}={options[key]!r} is not a number from 0", option=key, known=[])
    return found


@dataclass(frozen=True, slots=True)
class Opinion:
    """One sample's probability that a step is right, the numbers that it is made of, and the text that led to it."""

    reward: float
    logits: tuple[float, ...]
    text: str


def mean_reading(steps: Sequence[Sequence[Opinion]]) -> Reading:
    """reward = mean over the samples; rationale: the text of the sample that is nearest to that mean.

    extras: `spread`, the population standard deviation over the samples.
    """
    rewards = [sum(opinion.reward for opinion in opinions) / len(opinions) for opinions in steps]
    spread = [
        (sum((opinion.reward - reward) ** 2 for opinion in opinions) / len(opinions)) ** 0.5
        for opinions, reward in zip(steps, rewards, strict=True)
    ]
    return Reading(
        rewards=tuple(rewards),
        logits=tuple(tuple(one for opinion in opinions for one in opinion.logits) for opinions in steps),
        extras={"spread": tuple(spread)},
        rationales=tuple(_nearest(opinions, reward).text for opinions, reward in zip(steps, rewards, strict=True)),
    )


def _nearest(opinions: Sequence[Opinion], reward: float) -> Opinion:
    return min(opinions, key=lambda opinion: abs(opinion.reward - reward))
