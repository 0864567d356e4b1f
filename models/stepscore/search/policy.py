"""The policy of a search: nodes in, sampled children out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepscore.errors import GeneratorDead, GeneratorError, InvalidOption
from stepscore.generate.prompt import PromptWriter
from stepscore.generate.protocol import Completion, Generator, Request, Sampling, derive_seed
from stepscore.search.commands import GrowNodes, NewNodes
from stepscore.search.tree import SearchNode

SEPARATOR = "\n\n"
"""Between steps, as in search-and-learn and Qwen2.5-Math."""

Growth = NewNodes | GeneratorError


@dataclass(frozen=True, slots=True)
class StepSampling:
    """How the policy samples.

    separator: text that ends a step. step_tokens, solution_tokens: limits of one step and of one rest of a solution.
    max_repeats: a step that equals this many steps directly before it ends its branch.
    is_complete: whether a text holds its final answer, so that the solution ends there although the policy would
        continue; None leaves that to the policy.
    """

    separator: str = SEPARATOR
    temperature: float = 0.8
    top_p: float = 1.0
    step_tokens: int = 256
    solution_tokens: int = 1024
    max_repeats: int = 1
    seed: int = 0
    is_complete: Callable[[str], bool] | None = None

    def __post_init__(self) -> None:
        """Raises InvalidOption for an empty separator, and for temperatures and shares outside their bounds."""
        if not self.separator:
            raise InvalidOption("the separator between steps is empty", option="separator")
        if not (0 <= self.temperature < math.inf):
            raise InvalidOption(f"the temperature is {self.temperature}, not a number from 0", option="temperature")
        if not (0 < self.top_p <= 1):
            raise InvalidOption(f"top_p is {self.top_p}, not above 0 and at most 1", option="top_p")


class SearchPolicy:
    """Samples children of nodes. Not thread-safe: one caller at a time, as its generator."""

    def __init__(self, generator: Generator, prompts: PromptWriter, options: StepSampling) -> None:
        self._generator = generator
        self._prompts = prompts
        self._options = options

    def grow_each(self, commands: Sequence[tuple[str, GrowNodes]]) -> list[Growth]:
        """The new children for each (problem, command), in order, or the error of that command.

        All commands share one call of the generator; if that call fails, each is tried alone, unless none can succeed.
        """
        try:
            return list(self._grow(commands))
        except GeneratorDead as error:
            return [error] * len(commands)
        except GeneratorError as error:
            if len(commands) == 1:
                return [error]
        return [self.grow_each([command])[0] for command in commands]

    def _grow(self, commands: Sequence[tuple[str, GrowNodes]]) -> list[NewNodes]:
        requests = [
            self._request(problem, node, count, command)
            for problem, command in commands
            for node, count in command.counts
        ]
        answers = iter(self._generator.generate(requests))
        return [[self._attach(node, command, next(answers)) for node, _ in command.counts] for _, command in commands]

    def _request(self, problem: str, node: SearchNode, count: int, command: GrowNodes) -> Request:
        options, prefix = self._options, node.prefix
        purpose = f"search {len(node.children)} {'end' if command.to_end else 'step'}"
        sampling = Sampling(
            n=count,
            max_tokens=options.solution_tokens if command.to_end else options.step_tokens,
            temperature=0.0 if command.greedy else options.temperature,
            top_p=1.0 if command.greedy else options.top_p,
            stop=() if command.to_end else (options.separator,),
            keep_stop=True,
            seed=derive_seed(options.seed, purpose, problem, prefix),
        )
        return Request(self._prompts.write(problem, prefix), sampling)

    def _attach(self, node: SearchNode, command: GrowNodes, completions: Sequence[Completion]) -> list[SearchNode]:
        children = [self._child(node, command, completion) for completion in completions]
        node.children += children
        return children

    def _child(self, node: SearchNode, command: GrowNodes, completion: Completion) -> SearchNode:
        text, separator = completion.text, self._options.separator
        steps = tuple(step for piece in text.split(separator) if (step := piece.strip()))
        child = SearchNode(node, text, steps, tokens=len(completion.tokens) or len(text.split()))
        if completion.stop_reason == "length":
            child.status = "truncated"
        elif command.to_end or not text.endswith(separator) or self._completes(child):
            child.status = "finished"
        if not steps and (child.status != "finished" or not node.solution):
            child.fail("an empty step")
        elif self._repeats(child):
            child.fail("the policy repeats a step")
        return child

    def _completes(self, child: SearchNode) -> bool:
        is_complete = self._options.is_complete
        return is_complete is not None and is_complete(child.prefix)

    def _repeats(self, child: SearchNode) -> bool:
        last = child.solution[-(self._options.max_repeats + 1) :]
        return bool(child.steps) and len(last) > self._options.max_repeats and len(set(last)) == 1
