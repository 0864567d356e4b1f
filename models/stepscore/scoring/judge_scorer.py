"""The scorer of a judge: a generator takes the place of the forward engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stepscore.calibration import calibrate
from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.protocol import EngineInfo, TokenCounts, Work
from stepscore.errors import StepscoreError, UnsupportedByEngine
from stepscore.family.judging import Judge
from stepscore.family.registry import Family, Parts
from stepscore.generate.open import open_generator
from stepscore.generate.protocol import Generator, GeneratorInfo
from stepscore.scoring.protocol import ModelInfo, OneOrMany, check_reading, check_sequences, check_steps, info_of
from stepscore.types import EncodedSolution, Reading, Solution


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptedSolution(EncodedSolution):
    """A solution with the prompts that its judge opens with; later prompts quote what was generated."""

    solution: Solution


class JudgeScorer(OneOrMany):
    """Rewards read from generated text. The solutions of a batch are judged one after another."""

    def __init__(self, info: ModelInfo, judge: Judge, generator: Generator) -> None:
        self.info = info
        self._judge = judge
        self._generator = generator

    def encode(self, solution: Solution) -> PromptedSolution:
        """Raises InvalidInput; TooLong if a prompt leaves no token to answer in."""
        check_steps(solution, self.info)
        encoded = self._judge.encode(solution)
        check_sequences(encoded, self.info, answer=1)
        return PromptedSolution(encoded.sequences, encoded.steps, encoded.marks, solution=solution)

    def cost(self, encoded: EncodedSolution) -> int:
        """Tokens of the prompts; how many will be generated is not known."""
        return encoded.tokens

    def forward(self, batch: Sequence[EncodedSolution]) -> list[Reading | StepscoreError]:
        return [self._judge_one(encoded) for encoded in batch]

    def advance(self, works: Sequence[Work]) -> list[Reading | StepscoreError | None]:
        """Every work is judged whole."""
        return list(self.forward([work.encoded for work in works]))

    def release(self, work: Work) -> None:
        """Nothing is held for a work between forwards."""

    def counts(self) -> TokenCounts:
        return TokenCounts(prompt=self._generator.tokens, computed=self._generator.tokens)

    def purge(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        self._generator.close()

    def _judge_one(self, encoded: EncodedSolution) -> Reading | StepscoreError:
        if not isinstance(encoded, PromptedSolution):
            raise TypeError("a judge takes what its own encode returned")
        try:
            judged = self._judge.judge(encoded.solution, self._generator)
            return check_reading(calibrate(judged, self.info.calibration), encoded.steps)
        except StepscoreError as error:
            return error


def open_judge(
    name: str,
    family: Family,
    facts: CheckpointFacts,
    parts: Parts,
    options: EngineOptions,
    generator: Generator | None = None,
) -> JudgeScorer:
    """The scorer of a judge family. generator: one that runs already; default the one that the options name.

    Raises CheckpointError if the generator cannot be opened.
    """
    if options.quantize != "none":
        reason = "a judge generates text, and 8-bit weights are for forwards"
        raise UnsupportedByEngine(
            f"quantize={options.quantize} is refused: {reason}", engine="judge", quantize=options.quantize
        )
    if not isinstance(parts.layout, Judge):
        raise UnsupportedByEngine(f"the layout of family {family.name} is not a judge", family=family.name)
    running = generator or _open(facts, options)
    info = info_of(name, family, facts, _place(running.info, options))
    return JudgeScorer(info, parts.layout, running)


def _open(facts: CheckpointFacts, options: EngineOptions) -> Generator:
    return open_generator(
        options.generator,
        facts.path,
        model=facts.name,
        device=options.device,
        dtype=options.dtype,
        max_tokens=options.max_tokens,
        longest=facts.max_tokens,
        tensor_parallel_size=options.tensor_parallel_size,
    )


def _place(running: GeneratorInfo, options: EngineOptions) -> EngineInfo:
    """max_batch_tokens is one context, so that a batch holds few solutions: each takes many forwards."""
    context = running.max_tokens
    return EngineInfo(running.name, running.device, running.dtype, options.mode, context, context)
