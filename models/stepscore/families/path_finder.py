"""PathFinder-PRM: two passes for each step, first the kinds of error, then whether the step is right.

Sources: the card of declare-lab/PathFinder-PRM-7B and declare-lab/PathFinder-PRM, `src/evaluation` and
`src/training/prepare_train_dataset.py`; "Error Typing for Smarter Rewards", arXiv 2505.19706.

Everything is read at the token before an `<extra>`, from the rows of `<+>` and `<->`. The first pass asks for
mathematics and consistency; if either is `<->`, the reward is -1. Else both `<extra>` become `<+>`, `, Correctness:
<extra>` is added, and the reward is the softmax of the second pass. The authors run the second pass only when the
first finds nothing; since it then always holds two `<+>`, both sequences are written ahead and run together.
`extras` hold the first pass's two probabilities and the second's, which is there even if the reward is -1.

The card spells its prompt "mathemetical", training data and evaluation "mathematical": `wording=training` is the
default, because it is what the weights saw. A step counts as wrong below 0.5, which -1 is.
The default aggregate is the minimum: one wrong step makes the solution wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepscore.family.heads import VocabularyHead
from stepscore.family.layout import ChatTemplate, LayoutContext, Message, Place, SequenceBuilder, Text, check
from stepscore.family.readers import join_rows, softmax
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Encoded, EncodedSolution, Reading, RewardRange, Solution, Values

GOOD, BAD, MASK = "<+>", "<->", "<extra>"
ADJECTIVES = {"training": "mathematical", "card": "mathemetical"}
INSTRUCTION = (
    "You are a Math Teacher. Given a question and a student's solution, evaluate the {adjective} correctness, logic "
    "consistency of the current step and whether it will lead to the correct final solution"
)
READS = 3
"""Reads of one step: mathematics and consistency in the first sequence, correctness in the second."""


@dataclass(frozen=True, slots=True)
class TwoPasses:
    """Two chats for each step: the solution so far, the current step, and what is asked of it."""

    tokenizer: StepTokenizer
    template: ChatTemplate
    instruction: str

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        steps = range(len(solution.steps))
        sequences = (self._sequence(solution, step, asked) for step in steps for asked in _PASSES)
        return EncodedSolution(tuple(sequences), steps=len(steps))

    def _sequence(self, solution: Solution, step: int, asked: tuple[Place | str, ...]) -> Encoded:
        texts = [*solution.steps[:step], f"Current Step: {solution.steps[step]}"]
        user = Message("user", (Text(f"{self.instruction}\n\n Question: {solution.problem}"),))
        builder = SequenceBuilder(self.tokenizer)
        self.template.write(builder, [user, Message("assistant", (Text("\n\n".join(texts)), *asked))])
        return builder.build()


_PASSES: tuple[tuple[Place | str, ...], ...] = (
    (" Math reasoning: ", Place(), f"{MASK}, Consistency: ", Place(), MASK),
    (f" Math reasoning: {GOOD}, Consistency: {GOOD}, Correctness: ", Place(), MASK),
)


def read_gated(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    """reward = P(`<+>`) of the second pass, or -1 if the first prefers a `<->`; logits: the three pairs of rows."""
    pairs_S32 = join_rows(values).reshape(encoded.steps, READS, 2)
    good_S3 = np.asarray(softmax(pairs_S32)[..., 0], dtype=np.float64)
    flawed_S = (pairs_S32[:, :2, 1] > pairs_S32[:, :2, 0]).any(axis=1)
    names = ("math", "consistency", "correctness")
    return Reading(
        rewards=tuple(float(reward) for reward in np.where(flawed_S, -1.0, good_S3[:, 2])),
        logits=tuple(tuple(float(logit) for logit in row) for row in pairs_S32.reshape(encoded.steps, -1)),
        extras={name: tuple(float(p) for p in good_S3[:, column]) for column, name in enumerate(names)},
    )


def build(context: LayoutContext) -> Parts:
    tokenizer = context.tokenizer
    instruction = INSTRUCTION.format(adjective=ADJECTIVES[context.options["wording"]])
    layout = TwoPasses(tokenizer, ChatTemplate(tokenizer), instruction)
    tokenizer.token_id(MASK)
    return Parts(layout, VocabularyHead((tokenizer.token_id(GOOD), tokenizer.token_id(BAD))), read_gated)


FAMILY = Family(
    name="path_finder",
    title="PathFinder-PRM",
    source=(
        "https://huggingface.co/declare-lab/PathFinder-PRM-7B",
        "https://github.com/declare-lab/PathFinder-PRM",
        "https://arxiv.org/abs/2505.19706",
    ),
    licence="not stated in the sources; built on Qwen2.5-Math (Apache-2.0)",
    checkpoints=("declare-lab/PathFinder-PRM-7B",),
    prompt=(
        "user: {instruction}\n\n Question: {problem}\nassistant: {step 1}\n\n{step 2}\n\nCurrent Step: {step 3}"
        " Math reasoning: <extra>, Consistency: <extra>\n(rendered by the checkpoint's own chat template; second pass:"
        " `Math reasoning: <+>, Consistency: <+>, Correctness: <extra>`)"
    ),
    marker="the token before each <extra> (special token)",
    formula="-1 if the first pass prefers <-> anywhere, else softmax(logits of <+> and <-> in the second)[0]",
    build=build,
    compared=(
        Compared(
            "declare-lab/PathFinder-PRM",
            "2f80ed4",
            "src/evaluation (PathFinderPRM.py, run_eval_pathfinder_prm.py)",
        ),
    ),
    evidence=Evidence(architectures=("Qwen2ForCausalLM",), repositories=("path[-_]?finder",)),
    reward_range=RewardRange("real", -1.0, 1.0),
    aggregate="min",
    markers=(GOOD, BAD, MASK),
    options={"wording": Option("training", "whose spelling of the instruction", ("training", "card"))},
)
