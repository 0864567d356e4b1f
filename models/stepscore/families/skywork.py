"""Skywork-o1-Open-PRM: one value at the line break that follows each line, through a sigmoid.

Source: SkyworkAI/skywork-o1-prm-inference, `model_utils/io_utils.py` (`prepare_input`) and `prm_model.py`.

The prompt is the BOS token, the problem and a line break, encoded together; every line of the response is then encoded
for itself and followed by the id of a line break. There is no chat template. The authors split a response into lines
and score each, blank ones included, which gives a bare line break to a blank line.

Here the steps are given, and a step may hold several lines. `lines=authors` (the default) writes every line as the
authors do, so that the ids are those of `"\\n".join(steps)`, and reads a step once, at the break after its last line:
the authors' number for that line. Split the solution by lines to get all of their numbers. `lines=collapsed` is the
reading of compute-optimal-tts: line breaks inside a step become spaces, and the step is one line.

Each value judges the solution so far, so the default aggregate is the last one, as in search-and-learn; the EurusPRM
card takes the mean of this model's rewards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stepscore.errors import CheckpointError
from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext, SequenceBuilder, check
from stepscore.family.readers import sigmoid_value
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, Solution

BREAK = "\n"
Lines = Callable[[str], list[str]]


def authors_lines(step: str) -> list[str]:
    return step.split(BREAK)


def collapsed_line(step: str) -> list[str]:
    return [step.replace(BREAK, " ").strip()]


@dataclass(frozen=True, slots=True)
class LinedText:
    """bos + ids(problem + break), then for every line of every step ids(line) + break; reads a step's last break."""

    tokenizer: StepTokenizer
    bos: int
    line_break: int
    lines: Lines

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        builder = SequenceBuilder(self.tokenizer).token(self.bos).text(solution.problem + BREAK)
        for step in solution.steps:
            for line in self.lines(step):
                builder.piece(line).token(self.line_break)
            builder.read()
        return EncodedSolution((builder.build(),), steps=len(solution.steps))


def opening_token(context: LayoutContext) -> int:
    """The tokenizer's BOS, else the one that config.json names. Raises CheckpointError if neither names one."""
    for found in (context.tokenizer.inner.bos_token_id, context.config.get("bos_token_id")):
        if isinstance(found, int):
            return found
    raise CheckpointError("neither tokenizer nor config.json names the BOS token that opens this family's prompt")


def build(context: LayoutContext) -> Parts:
    lines = collapsed_line if context.options["lines"] == "collapsed" else authors_lines
    layout = LinedText(context.tokenizer, opening_token(context), context.tokenizer.last_id(BREAK), lines)
    return Parts(layout, LinearHead(("v_head.summary",), outputs=1), sigmoid_value)


FAMILY = Family(
    name="skywork",
    title="Skywork-o1-Open-PRM",
    source=("https://github.com/SkyworkAI/skywork-o1-prm-inference",),
    licence="Skywork community licence (`other`)",
    checkpoints=("Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B", "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B"),
    prompt="{bos}{problem}\n{line of step 1}\n{line of step 1}\n{line of step 2}\n",
    marker="the id of a line break after the step's last line",
    formula="sigmoid(value at the line break)",
    build=build,
    compared=(
        Compared("SkyworkAI/skywork-o1-prm-inference", "719b56b", "model_utils/io_utils.py, model_utils/prm_model.py"),
    ),
    evidence=Evidence(
        architectures=("Qwen2ForPrmModel",), tensors=(r"v_head\.summary\.weight",), repositories=(r"skywork.*prm",)
    ),
    aggregate="last",
    options={
        "lines": Option("authors", "every line as its own, or a step as one line", ("authors", "collapsed")),
    },
)
