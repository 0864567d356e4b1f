"""ThinkPRM: a verification of every prefix, then a forced choice between "yes" and "no".

Sources: mukhal/ThinkPRM, `prm/thinkprm_api.py` and `utils/helper.py`; arXiv 2504.16828.

The reward of step k is the verdict on the solution up to step k. After the verification the text "\\nIs the solution
correct? " is written and the two answers are compared by the mean log-probability of their tokens. An answer's tokens
are those of the whole text (the space before it belongs to its first token), as the authors' server reads them.
That server may count a prompt token or two into each mean, which flattens the probabilities as a
`decision_temperature` of 2 or 3 does; here a mean is over the answer alone.
`process_verifier` numbers the steps and stops a verification that continues with a step that does not exist; the
authors switch it on when prefixes are scored, which is what happens here, and off in their class. They find the last
step with a comparison of texts, by which "9" comes after "10"; here it is counted.
A tokenizer that adds its own BOS to a template that has one gives two, and the authors' server reads both;
`bos=twice` does so too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from stepscore.errors import InvalidOption
from stepscore.family.judging import Opinion, float_option, judge_parts, mean_reading, sampling_of, sampling_options
from stepscore.family.layout import ChatTemplate, LayoutContext, Message, SequenceBuilder, Text, check
from stepscore.family.readers import softmax
from stepscore.family.registry import SCRIPTED, Compared, Evidence, Family, Option, Parts
from stepscore.generate.protocol import Generator, Request, Sampling
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, Reading, Solution

OPENING = "You are given a math problem and a proposed step-by-step solution:\n\n[Math Problem]\n\n"
SOLUTION = "\n\n[Solution]\n\n"
INSTRUCTION = (
    "\n\nReview and critique each step in the proposed solution to determine whether each step is correct. "
    "If the solution is incomplete, only verify the provided steps."
)
BEGIN = "\nLet's verify step by step:"
TRIGGER = "\nIs the solution correct? "
ANSWERS = ("yes", "no")


@dataclass(frozen=True, slots=True)
class VerifiedPrefixes:
    """One prompt per prefix of the solution."""

    tokenizer: StepTokenizer
    template: ChatTemplate
    sampling: Sampling
    process_verifier: bool
    decision_temperature: float
    double_bos: bool

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        prompts = [self._prompt(solution, count).build() for count in range(1, len(solution.steps) + 1)]
        return EncodedSolution(tuple(prompts), steps=len(solution.steps))

    def judge(self, solution: Solution, generator: Generator) -> Reading:
        prompts = self.encode(solution).sequences
        requests = [Request(prompt.ids, self._sampling(count)) for count, prompt in enumerate(prompts, start=1)]
        return mean_reading(
            [
                [self._opinion(solution, count, completion.text, generator) for completion in completions]
                for count, completions in enumerate(generator.generate(requests), start=1)
            ]
        )

    def _sampling(self, count: int) -> Sampling:
        """Stops where the verdict, the end of the thinking or a step that does not exist begins."""
        next_step = (f"Step {count + 1}:",) if self.process_verifier else ()
        return replace(self.sampling, stop=("Is the solution correct?", "</think>", *next_step))

    def _prompt(self, solution: Solution, count: int) -> SequenceBuilder:
        steps = [self._step(text, number) for number, text in enumerate(solution.steps[:count], start=1)]
        parts = (Text(OPENING + solution.problem + SOLUTION + "\n".join(steps) + INSTRUCTION),)
        builder = SequenceBuilder(self.tokenizer)
        if self.double_bos:
            builder.bos()
        self.template.write(builder, [Message("user", parts)], generation_prompt=True)
        return builder.text(BEGIN)

    def _step(self, text: str, number: int) -> str:
        bare = re.sub(r"Step \d+:", "", text).strip()
        return f"Step {number}: {bare}" if self.process_verifier else bare

    def _opinion(self, solution: Solution, count: int, verification: str, generator: Generator) -> Opinion:
        ids = [self._prompt(solution, count).text(verification + TRIGGER + answer).build().ids for answer in ANSWERS]
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*ids, strict=False)))
        logprobs = generator.continuations(ids[0][:shared], [each[shared:] for each in ids])
        means = [sum(tokens) / len(tokens) for tokens in logprobs]
        scaled = np.array([means], dtype=np.float32) / np.float32(self.decision_temperature)
        return Opinion(float(softmax(scaled)[0, 0]), (means[0], means[1]), verification)


def build(context: LayoutContext) -> Parts:
    options, tokenizer = context.options, context.tokenizer
    temperature = float_option(options, "decision_temperature")
    if temperature == 0.0:
        raise InvalidOption("decision_temperature must be above 0", option="decision_temperature", known=[])
    return judge_parts(
        VerifiedPrefixes(
            tokenizer,
            ChatTemplate(tokenizer),
            sampling_of(options),
            process_verifier=options["process_verifier"] == "true",
            decision_temperature=temperature,
            double_bos=options["bos"] == "twice",
        )
    )


FAMILY = Family(
    name="think_prm",
    title="ThinkPRM",
    source=("https://github.com/mukhal/ThinkPRM", "https://arxiv.org/abs/2504.16828"),
    licence="Apache-2.0",
    checkpoints=("launch/ThinkPRM-1.5B", "launch/ThinkPRM-7B", "launch/ThinkPRM-14B"),
    prompt="{chat template: user}"
    + OPENING
    + "{problem}"
    + SOLUTION
    + "Step 1: {step 1}\nStep 2: {step 2}"
    + INSTRUCTION
    + "{chat template: assistant}"
    + BEGIN
    + "{verification}"
    + TRIGGER,
    marker="the answer (yes or no) after 'Is the solution correct? '",
    formula="mean over the samples of softmax(mean log-probability of yes, of no)[0], for each prefix",
    build=build,
    compared=(Compared("mukhal/ThinkPRM", "0beccfb", "prm/thinkprm_api.py, utils/helper.py", SCRIPTED),),
    evidence=Evidence(architectures=("Qwen2ForCausalLM",), repositories=(r"ThinkPRM",)),
    aggregate="last",
    options=sampling_options(n=1, temperature=0.7, top_p=1.0, max_tokens=8172)
    | {
        "process_verifier": Option("true", "number the steps and stop at one that does not exist", ("true", "false")),
        "decision_temperature": Option("1.0", "temperature of the two answers' mean log-probabilities"),
        "bos": Option("once", "the template's own BOS alone, or the tokenizer's before it too", ("once", "twice")),
    },
    judge=True,
)
