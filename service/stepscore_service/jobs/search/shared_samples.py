"""Methods that ask for the same samples share them: what is compared then differs only in the choice."""

from __future__ import annotations

from collections.abc import Sequence

from stepscore.generate.protocol import Completion, Generator, GeneratorInfo, Request


class SampleMemory:
    """A generator that answers a seeded request of before from memory, since its answer would be the same.

    For the samples of whole solutions; steps of a search are rarely asked for twice.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._known: dict[Request, tuple[Completion, ...]] = {}

    @property
    def info(self) -> GeneratorInfo:
        return self._generator.info

    @property
    def tokens(self) -> int:
        return self._generator.tokens

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        new = [each for each in dict.fromkeys(requests) if each not in self._known]
        if new:
            answers = self._generator.generate(new)
            self._known.update(zip(new, answers, strict=True))
        return [self._known[request] for request in requests]

    def continuations(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        return self._generator.continuations(prompt, choices)

    def close(self) -> None:
        self._generator.close()
