"""A generator without weights, for tests at the generator's seam: it says what its script says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stepscore.generate.protocol import Completion, GeneratorInfo, Prompt, Request, SampledToken, Sampling
from stepscore.generate.stopping import cut

ScriptedTexts = Callable[[Prompt, Sampling], Sequence[str]]
"""The raw texts of a request's `n` completions, as if nothing had stopped them."""

Choose = Callable[[tuple[int, ...], tuple[int, ...]], Sequence[float]]
"""The log-probabilities of a choice's tokens after a prompt."""


def characters(text: str) -> Sequence[SampledToken]:
    return [SampledToken(character, 0.0) for character in text]


class FakeGenerator:
    """Writes what `script` returns, cut at the request's stop texts; `choose` gives the log-probabilities of choices.

    Every character is a token of log-probability 0, unless `read` splits a text into tokens otherwise.
    requests: what it was asked, in order.
    """

    def __init__(
        self,
        script: ScriptedTexts,
        *,
        choose: Choose = lambda prompt, choice: [-1.0] * len(choice),
        read: Callable[[str], Sequence[SampledToken]] = characters,
        max_tokens: int = 4096,
    ) -> None:
        self.requests: list[Request] = []
        self._script = script
        self._choose = choose
        self._read = read
        self._info = GeneratorInfo("fake", "none", "float32", max_tokens)
        self._tokens = 0

    @property
    def info(self) -> GeneratorInfo:
        return self._info

    @property
    def tokens(self) -> int:
        return self._tokens

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        return [self._answer(request) for request in requests]

    def continuations(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        self._tokens += sum(len(prompt) + len(choice) for choice in choices)
        return [tuple(self._choose(prompt, choice)) for choice in choices]

    def close(self) -> None:
        """There is nothing to free."""

    def _answer(self, request: Request) -> tuple[Completion, ...]:
        self.requests.append(request)
        texts = self._script(request.prompt, request.sampling)
        if len(texts) != request.sampling.n:
            raise ValueError(f"the script wrote {len(texts)} completions, not {request.sampling.n}")
        self._tokens += len(request.prompt) + sum(map(len, texts))
        return tuple(self._completion(text, request.sampling) for text in texts)

    def _completion(self, raw: str, sampling: Sampling) -> Completion:
        text, _ = cut(raw, sampling.stop, keep=sampling.keep_stop)
        return Completion(text, "stop", tuple(self._read(text)))
