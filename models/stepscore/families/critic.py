r"""A critic in ProcessBench's template: any instruction-tuned model names the first wrong paragraph.

Sources: QwenLM/ProcessBench, `code/run_eval.py` and `code/templates/critique_template.txt`; arXiv 2412.06559.

The model is asked n times. A sample's verdict is the whole number in its last `\boxed{}`: the index of the first wrong
paragraph from 0, or -1 for none. A sample without one, or with an index that no paragraph has, has no vote; a solution
without a vote is an error.

reward of step k = share of the votes that name neither k nor an earlier step, so rewards never rise from step to step,
and the first one below 0.5 is the median verdict. The authors take the most frequent verdict, the earliest seen of
equals: `extras["voted"]` is 1.0 at that step, and 0.0 everywhere for -1. `extras["votes"]` is the share of the votes
that name the step itself. The rationale of every step is the first critique with the voted verdict.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stepscore.errors import NoVerdict
from stepscore.family.judging import judge_parts, sampling_of, sampling_options
from stepscore.family.layout import ChatTemplate, LayoutContext, Message, SequenceBuilder, Text, check
from stepscore.family.registry import SCRIPTED, Compared, Evidence, Family, Parts
from stepscore.generate.protocol import Generator, Request, Sampling
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, Reading, Solution

OPENING = (
    "The following is a math problem and a solution (split into paragraphs, enclosed with tags and indexed from 0):"
    "\n\n[Math Problem]\n\n"
)
SOLUTION = "\n\n[Solution]\n\n"
TASK = (
    "\n\nYour task is to review and critique the solution paragraph by paragraph. Once you identify an error in a "
    "paragraph, return the index of the paragraph where the earliest error occurs. Otherwise, return the index of -1 "
    '(which typically denotes "not found").\n\nPlease put your final answer (i.e., the index) in \\boxed{}.'
)
NONE_WRONG = -1


@dataclass(frozen=True, slots=True)
class Critique:
    """One prompt for the whole solution."""

    tokenizer: StepTokenizer
    template: ChatTemplate
    sampling: Sampling

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        tagged = [f"<paragraph_{n}>\n{step}\n</paragraph_{n}>" for n, step in enumerate(solution.steps)]
        text = OPENING + solution.problem + SOLUTION + "\n\n".join(tagged) + TASK
        builder = SequenceBuilder(self.tokenizer)
        self.template.write(builder, [Message("user", (Text(text),))], generation_prompt=True)
        return EncodedSolution((builder.build(),), steps=len(solution.steps))

    def judge(self, solution: Solution, generator: Generator) -> Reading:
        (prompt,) = self.encode(solution).sequences
        (completions,) = generator.generate([Request(prompt.ids, self.sampling)])
        return reading_of([completion.text for completion in completions], len(solution.steps))


def reading_of(critiques: Sequence[str], steps: int) -> Reading:
    """Raises NoVerdict if no critique has a vote."""
    verdicts = [(first_error(text, steps), text) for text in critiques]
    votes = Counter(index for index, _ in verdicts if index is not None)
    if not votes:
        raise NoVerdict("no critique names a paragraph", step=0, samples=len(critiques))
    cast = votes.total()
    voted = votes.most_common(1)[0][0]
    earlier = [sum(count for index, count in votes.items() if 0 <= index <= step) for step in range(steps)]
    return Reading(
        rewards=tuple((cast - wrong) / cast for wrong in earlier),
        extras={
            "votes": tuple(votes[step] / cast for step in range(steps)),
            "voted": tuple(float(step == voted) for step in range(steps)),
        },
        rationales=(next(text for index, text in verdicts if index == voted),) * steps,
    )


def first_error(critique: str, steps: int) -> int | None:
    r"""The index in the last \boxed{}: -1 to steps - 1; None if there is no such number."""
    boxed = re.findall(r"\\boxed\{([^}]*)\}", critique)
    text = boxed[-1].strip() if boxed else ""
    if not re.fullmatch(r"-?[0-9]{1,6}", text):
        return None
    return int(text) if NONE_WRONG <= int(text) < steps else None


def build(context: LayoutContext) -> Parts:
    tokenizer = context.tokenizer
    return judge_parts(Critique(tokenizer, ChatTemplate(tokenizer), sampling_of(context.options)))


FAMILY = Family(
    name="critic",
    title="Critic (ProcessBench)",
    source=("https://github.com/QwenLM/ProcessBench", "https://arxiv.org/abs/2412.06559"),
    licence="each checkpoint's own",
    checkpoints=(),
    prompt="{chat template: user}"
    + OPENING
    + "{problem}"
    + SOLUTION
    + "<paragraph_0>\n{step 1}\n</paragraph_0>\n\n<paragraph_1>\n{step 2}\n</paragraph_1>"
    + TASK
    + "{chat template: assistant}",
    marker="the number in the last \\boxed{} of the critique",
    formula="share of the samples whose first wrong paragraph is none or comes after the step",
    build=build,
    compared=(Compared("QwenLM/ProcessBench", "e802463", "code/run_eval.py (prompt, vote)", SCRIPTED),),
    evidence=Evidence(),
    aggregate="last",
    options=sampling_options(n=8, temperature=0.7, top_p=0.9, max_tokens=8192),
    judge=True,
)
