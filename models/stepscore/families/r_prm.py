r"""R-PRM ("PRM-CoT"): K analyses of each step, then the probability that the model answers "Yes" after them.

Sources: NJUNLP/R-PRM, `src/prompts/GenPRM/GenPRM-evaluate-new3-qwen.txt`, `src/utils/inference.py` and
`src/evaluate/GenPRM/evaluate-PRM-CoT.py`; arXiv 2503.21295.

The prompt file ends `<|im_end|>\n<|im_start|>assistant\n` with the two characters backslash and n, twice, which the
authors' code never turns into line breaks; the weights were trained and measured so, and so it is written here.
Each analysis is cut after "Is the step correct (Yes/No)?"; one that never asks it is given the authors' own question.
Before that the authors strip every line and turn a typed backslash-n into a line break (`clean=authors`), which also
breaks `\neq` in two; `clean=none` reads the text as it was generated.
A step that does not open with "Step k:" is given it, as in the authors' data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stepscore.family.judging import Opinion, judge_parts, mean_reading, sampling_of, sampling_options
from stepscore.family.layout import LayoutContext, SequenceBuilder, check
from stepscore.family.readers import softmax
from stepscore.family.registry import SCRIPTED, Compared, Evidence, Family, Option, Parts
from stepscore.generate.protocol import Generator, Request, Sampling
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, Reading, Solution

QUESTION = "Is the step correct (Yes/No)?"
NO_QUESTION = "\nBased on your analysis. Is the answer correct (Yes/No)?"
FIRST = "Since the Now Step is the first step, there are no Previous Steps."
INSTRUCTION = """\
<|im_start|>system
You are a helpful assistant.<|im_end|>
<|im_start|>user
You are an excellent math teacher. Please verify the correctness of the Now Step.

You first need to analyze the Now Step and the Previous Steps and then summarize based on your analysis.
Analysis:
You need to analyze the following aspects.
**Previous Steps Analysis**: You need to analyze the Previous Steps step by step. For each step, you need to first \
explain what the current step is doing, then you try to find any error in the current step.
**Now Step Analysis**: You first need to explain what the Now Step is doing, and then point out which part of the \
Question it is trying to solve or which part of the information it states.
**Data Source Analysis**: First you need to find out what data are used in the Now Step, and then you need to \
determine whether the source of the data is reasonable and correct. When you judge whether the source of a data is \
reasonable and correct, you need to specify the specific source of this data: such as which part of the question, or \
which content of the previous step; and then determine the source and current use is consistent, the Now Step is used \
correctly.
**Consistency Analysis**: You need to check that the Now Step is consistent with the contents of the Previous Steps, \
and then you need to check that all the information inside the Now Step is consistent.
**Calculation Analysis**: If the Now Step involves any calculations, such as addition, subtraction, multiplication, \
division, equations, modulo operations, etc., you will first need to perform a check on the calculation, such as a \
reverse operation, to see if the calculation was done correctly, and then analyze the results of your check to see if \
there was an error in the calculation.
Conclusion:\x20
Please verify the correctness of the Now Step based on your analysis, if there is any error in the Now Step then the \
Now Step is wrong and vice versa the Now Step is correct. At the end of the Conclusion, when you give your final \
answer, write it in the form "Verification: Is the step correct (Yes/No)? X", where X is either Yes or No.

"""
ENDING = "\nPlease carefully analyze the correctness of the Now Step.\nReply: <|im_end|>\\n<|im_start|>assistant\\n"


@dataclass(frozen=True, slots=True)
class AnalysedSteps:
    """One prompt per step: the problem, the steps before it and the step itself."""

    tokenizer: StepTokenizer
    sampling: Sampling
    clean: bool

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        prompts = [self._prompt(solution, step).build() for step in range(len(solution.steps))]
        return EncodedSolution(tuple(prompts), steps=len(solution.steps))

    def judge(self, solution: Solution, generator: Generator) -> Reading:
        prompts = self.encode(solution).sequences
        written = generator.generate([Request(prompt.ids, self.sampling) for prompt in prompts])
        return mean_reading(
            [
                [self._opinion(solution, step, completion.text, generator) for completion in completions]
                for step, completions in enumerate(written)
            ]
        )

    def _prompt(self, solution: Solution, step: int) -> SequenceBuilder:
        steps = [number_step(text, number) for number, text in enumerate(solution.steps[: step + 1], start=1)]
        builder = SequenceBuilder(self.tokenizer).bos().template(INSTRUCTION)
        builder.text(f"Question: {solution.problem}\nPrevious Steps: ").text("\n".join(steps[:-1]) or FIRST)
        return builder.text(f"\nNow Step: {steps[-1]}").template(ENDING)

    def _opinion(self, solution: Solution, step: int, analysis: str, generator: Generator) -> Opinion:
        asked = cut_at_question(clean_completion(analysis) if self.clean else analysis)
        ids = self._prompt(solution, step).text(asked).build().ids
        choices = [(self.tokenizer.encode(answer)[0][0],) for answer in (" Yes", " No")]
        logits = np.array(generator.continuations(ids, choices), dtype=np.float32).reshape(1, 2)
        return Opinion(float(softmax(logits)[0, 0]), (float(logits[0, 0]), float(logits[0, 1])), asked)


def number_step(text: str, number: int) -> str:
    return text if text.startswith(f"Step {number}:") else f"Step {number}: {text}"


def clean_completion(text: str) -> str:
    """What `inference.py` saves of a completion."""
    text = text.strip().strip("\\").strip("\\n").strip()
    return "\n".join(part.strip() for line in text.split("\n") for part in line.split("\\n"))


def cut_at_question(analysis: str) -> str:
    before, question, _ = analysis.partition(QUESTION)
    return before + (question or NO_QUESTION)


def build(context: LayoutContext) -> Parts:
    sampling = replace(sampling_of(context.options), stop=("<|eot_id|>",))
    return judge_parts(AnalysedSteps(context.tokenizer, sampling, context.options["clean"] == "authors"))


FAMILY = Family(
    name="r_prm",
    title="R-PRM",
    source=("https://github.com/NJUNLP/R-PRM", "https://arxiv.org/abs/2503.21295"),
    licence="not stated",
    checkpoints=("kevinpro/R-PRM-7B-SFT", "kevinpro/R-PRM-7B-DPO"),
    prompt=INSTRUCTION
    + "Question: {problem}\nPrevious Steps: {Step 1: ...\nStep 2: ...}\nNow Step: Step 3: {step 3}"
    + ENDING
    + "{analysis up to: Is the step correct (Yes/No)?}",
    marker="the token after 'Is the step correct (Yes/No)?'",
    formula='mean over the samples of softmax(logits of " Yes", " No")[0]',
    build=build,
    compared=(Compared("NJUNLP/R-PRM", "e3dd605", "src/utils/inference.py, evaluate-PRM-CoT.py", SCRIPTED),),
    evidence=Evidence(architectures=("Qwen2ForCausalLM",), repositories=(r"(^|/)R-PRM",)),
    options=sampling_options(n=10, temperature=0.95, top_p=0.95, max_tokens=8192)
    | {"clean": Option("authors", "strip the analysis as the authors' code does, or not at all", ("authors", "none"))},
    judge=True,
)
