r"""GenPRM: a critique of each step in stages, judged by the probability of the "Yes" in its last `\boxed{...}`.

Sources: RyanLiu112/GenPRM, `src/prm_evaluation/infer_module/{genprm_inference,prm_evaluate}.py` and
`src/prm_evaluation/utils/util.py`; arXiv 2504.00891.

The conversation holds every step as a user turn and the judge's own earlier critiques as assistant turns; the prompt
ends after the last step, without the template's closing token and without an assistant header, and the stage's
opening text follows. `stages` are the authors' flags: `verify` (analyze and verify: the model writes Python),
`analyze` (no Python), `output` (the verdict at once). The authors run that Python in their own process. Here it is not
run, as with their execute flag off: "[Code Output]" is opened for the model to continue. Only if `sandbox` says so
is it run, and what it prints is shown to the model: `sandbox=confined` by this Python with its packages and no network,
files, other processes or more than 5 s (seccomp, Landlock and resource limits; `confined:weak` continues if the kernel
lacks one), any other text by that command, which alone then decides what the Python may do.
The authors' loop never ends for a model that does not close its output; here the fallback is tried once and read as it
is. Their reading takes the first "Yes}" or "No}" of the whole critique and the probabilities at the last such token;
a sample without either counts 0.5 (`no_verdict=half`), and here it has no vote: a step without any is an error.
A missing counterpart counts as the least likely of the 20 tokens reported. Probabilities are the model's own, before
temperature and nucleus, as later vLLM versions report them; the authors' version reported them after.
The first user turn is `{problem}\n{step 1}` in the evaluation code and `Question: {problem}\n\n{step 1}` on the card
(`first_turn`). `bos=twice` adds the tokenizer's own BOS to the template's, as a server that reads the prompt as text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stepscore.errors import NoVerdict
from stepscore.family.judging import Opinion, judge_parts, mean_reading, sampling_of, sampling_options
from stepscore.family.layout import ChatTemplate, LayoutContext, Message, SequenceBuilder, Text, check
from stepscore.family.registry import SCRIPTED, Compared, Evidence, Family, Option, Parts
from stepscore.generate.protocol import Completion, Generator, Request, SampledToken, Sampling
from stepscore.sandbox.judge_code import JudgeSandbox, open_sandbox
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, Reading, Solution

STEP_BY_STEP = "You are a math teacher. Your task is to review and critique the paragraphs in solution step by step."
DIRECTLY = (
    "You are a math teacher. Your task is to review and critique the paragraphs in solution directly. Output your "
    "judgement in the format of `\\boxed{Yes}` if the paragraph is correct, or `\\boxed{No}` if the paragraph is "
    "incorrect."
)
ANALYZE = "<analyze>\nLet's analyze the Paragraph {} step by step: "
VERIFY = "<verify>\nLet's use python code to find any potential error:\n```python\n"
OUTPUT = "<output>\n**Judgement**: $\\boxed"
CODE_OUTPUT = "[Code Output]\n\n```\n"
CODE_END = "\n```\n"
NO_CODE = "Code format error: No code found."
ANALYZED, VERIFIED, JUDGED = "</analyze>\n", "</verify>\n", "</output>\n"
ROUNDS = 3
FALLBACK_TOKENS = 20


@dataclass(frozen=True, slots=True)
class StagedCritiques:
    """A conversation that grows by one step and one critique at a time."""

    tokenizer: StepTokenizer
    template: ChatTemplate
    sampling: Sampling
    stages: str
    card_turn: bool
    half: bool
    double_bos: bool
    sandbox: JudgeSandbox | None

    def encode(self, solution: Solution) -> EncodedSolution:
        """The prompts as they are with empty critiques: each critique adds to the prompts after it."""
        check(solution)
        critiques = [""] * len(solution.steps)
        prompts = [self._prompt(solution, critiques[:step]).build() for step in range(len(critiques))]
        return EncodedSolution(tuple(prompts), steps=len(solution.steps))

    def judge(self, solution: Solution, generator: Generator) -> Reading:
        critiques: list[str] = []
        blocks: list[str] = []
        steps: list[list[Opinion]] = []
        for step in range(len(solution.steps)):
            paths = [Path(self, solution, tuple(critiques), generator, n, blocks) for n in range(self.sampling.n)]
            written = [path.write() for path in paths]
            steps.append(self._opinions(written, step))
            critiques.append(written[0][0])
        return mean_reading(steps)

    def _opinions(self, written: Sequence[tuple[str, Sequence[SampledToken]]], step: int) -> list[Opinion]:
        opinions = [opinion for text, tokens in written if (opinion := verdict(text, tokens))]
        if self.half:
            opinions += [Opinion(0.5, (), text) for text, tokens in written if verdict(text, tokens) is None]
        if not opinions:
            raise NoVerdict(f"no critique of step {step} ends in a verdict", step=step, samples=len(written))
        return opinions

    def prompt(self, solution: Solution, critiques: Sequence[str], written: str) -> tuple[int, ...]:
        return self._prompt(solution, critiques).text(written).build().ids

    def _prompt(self, solution: Solution, critiques: Sequence[str]) -> SequenceBuilder:
        messages = list(self._messages(solution, critiques))
        frame = self.template.frame(tuple(message.role for message in messages))
        end = str(self.tokenizer.inner.eos_token)
        frame = frame.removesuffix(f"{end}\n") if frame.endswith(f"{end}\n") else frame.removesuffix(end)
        builder = SequenceBuilder(self.tokenizer)
        if self.double_bos:
            builder.bos()
        self.template.fill(builder, frame, messages)
        return builder

    def _messages(self, solution: Solution, critiques: Sequence[str]) -> Iterator[Message]:
        yield Message("system", (DIRECTLY if self.stages == "output" else STEP_BY_STEP,))
        opening = f"Question: {solution.problem}\n\n" if self.card_turn else f"{solution.problem}\n"
        for step, text in enumerate(solution.steps[: len(critiques) + 1]):
            yield Message("user", (Text(text if step else opening + text),))
            if step < len(critiques):
                yield Message("assistant", (Text(critiques[step]),))


@dataclass(frozen=True, slots=True)
class Path:
    """One critique of one step, written stage by stage. blocks: the solution's Python so far, of all paths."""

    layout: StagedCritiques
    solution: Solution
    critiques: tuple[str, ...]
    generator: Generator
    number: int
    blocks: list[str]

    def write(self) -> tuple[str, Sequence[SampledToken]]:
        """The critique, and the tokens of the stage that holds its verdict."""
        analysis = "" if self.layout.stages == "output" else self._analysis()
        text = analysis + (VERIFY if self.layout.stages == "verify" else OUTPUT)
        for _ in range(ROUNDS):
            left = self.layout.sampling.max_tokens - len(self.layout.tokenizer.encode(text)[0])
            if left <= 0:
                break
            last = self._continue(text, left, JUDGED, *((CODE_END,) if self._executes else ()))
            text += last.text
            if text.endswith(JUDGED):
                return text, last.tokens
            text += self._code_output(text) if self._executes else CODE_OUTPUT
        return self._fallback(text, analysis)

    def _analysis(self) -> str:
        opening = ANALYZE.format(len(self.critiques) + 1)
        return opening + self._continue(opening, self.layout.sampling.max_tokens, ANALYZED).text

    @property
    def _executes(self) -> bool:
        return self.layout.sandbox is not None and self.layout.stages == "verify"

    def _code_output(self, text: str) -> str:
        """What the last Python of the text prints, in the namespace of the blocks before it."""
        found = re.findall(r"```python\s*(.*?)\s*```", text, re.DOTALL)
        printed = NO_CODE
        if found and self.layout.sandbox is not None:
            self.blocks.append(found[-1].strip())
            printed = self.layout.sandbox.run(self.blocks)
        return f"{CODE_OUTPUT}{printed}\n```\n"

    def _fallback(self, text: str, analysis: str) -> tuple[str, Sequence[SampledToken]]:
        """Back to the analysis, or on with what there is, and straight to the verdict."""
        text = analysis.split("</analyze>")[0] + ANALYZED if analysis else text + VERIFIED
        last = self._continue(text + OUTPUT, FALLBACK_TOKENS, JUDGED)
        return text + OUTPUT + last.text, last.tokens

    def _continue(self, text: str, max_tokens: int, *stop: str) -> Completion:
        sampling = self.layout.sampling
        seed = None if sampling.seed is None else sampling.seed + self.number
        one = replace(sampling, n=1, stop=stop, keep_stop=True, max_tokens=max_tokens, seed=seed, top_logprobs=20)
        prompt = self.layout.prompt(self.solution, self.critiques, text)
        return self.generator.generate([Request(prompt, one)])[0][0]


def verdict(text: str, tokens: Sequence[SampledToken]) -> Opinion | None:
    """p(Yes) / (p(Yes) + p(No)) at the last such token that was sampled; None if the text holds no verdict."""
    found = re.search(r"(Yes|No)\}", text, re.IGNORECASE)
    said = found[1].capitalize() if found else ""
    token = next((token for token in reversed(tokens) if token.text == said), None)
    if token is None:
        return None
    least = min(token.top.values(), default=token.logprob)
    yes, no = (token.logprob if word == said else token.top.get(word, least) for word in ("Yes", "No"))
    return Opinion(1.0 / (1.0 + math.exp(min(no - yes, 700.0))), (yes, no), text)


def build(context: LayoutContext) -> Parts:
    options = context.options
    return judge_parts(
        StagedCritiques(
            context.tokenizer,
            ChatTemplate(context.tokenizer),
            sampling_of(options),
            stages=options["stages"],
            card_turn=options["first_turn"] == "card",
            half=options["no_verdict"] == "half",
            double_bos=options["bos"] == "twice",
            sandbox=open_sandbox(options["sandbox"]) if options["sandbox"] else None,
        )
    )


FAMILY = Family(
    name="gen_prm",
    title="GenPRM",
    source=("https://github.com/RyanLiu112/GenPRM", "https://arxiv.org/abs/2504.00891"),
    licence="Apache-2.0",
    checkpoints=("GenPRM/GenPRM-1.5B", "GenPRM/GenPRM-7B", "GenPRM/GenPRM-32B"),
    prompt="{chat template: system}"
    + STEP_BY_STEP
    + "{chat template: user}{problem}\n{step 1}{chat template: assistant}{critique of step 1}{chat template: user}"
    + "{step 2}"
    + ANALYZE.format(2)
    + "{analysis}</analyze>\n"
    + VERIFY
    + "{verification}</verify>\n"
    + OUTPUT
    + "{Yes}$\n</output>\n",
    marker="the last Yes or No token of the critique",
    formula="mean over the samples of p(Yes) / (p(Yes) + p(No))",
    build=build,
    compared=(
        Compared(
            "RyanLiu112/GenPRM",
            "cc80f47",
            "src/prm_evaluation/genprm_inference.py (without execution)",
            SCRIPTED,
        ),
    ),
    evidence=Evidence(architectures=("Qwen2ForCausalLM",), repositories=(r"(^|/)GenPRM",)),
    options=sampling_options(n=1, temperature=0.6, top_p=0.95, top_k=20, max_tokens=2048)
    | {
        "stages": Option("verify", "what is written before the verdict", ("verify", "analyze", "output")),
        "first_turn": Option(
            "evaluation", "the first turn of the evaluation code or the card's", ("evaluation", "card")
        ),
        "no_verdict": Option("error", "a sample without a verdict has no vote, or counts 0.5", ("error", "half")),
        "sandbox": Option("", "confined, or a command that runs the Python on its standard input; empty runs none"),
        "bos": Option("once", "the template's own BOS alone, or the tokenizer's before it too", ("once", "twice")),
    },
    judge=True,
)
