"""Beam search by search-and-learn's own code and by ours: the same policy, PRM and problems, and what each costs.

    python -m benchmarks.search_wall problems.jsonl --search-and-learn CHECKOUT --prm FOLDER --out results.md

Both sides sample with the same generator (transformers in process, which reads no prompt twice) and rate with the same
`Qwen2ForProcessRewardModel` checkpoint. Theirs runs `sal.search.beam_search` one problem at a time, which is all that
its configuration allows, and its class `Qwen_2_5_Math`, which reads the whole text in every round. Processor seconds of
the whole process stand beside wall seconds, because other work may share the machine.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any

import torch
import typer
from transformers import PreTrainedTokenizerFast

from benchmarks.engine.search_and_learn import TheirModel, refusal, their_scorer
from benchmarks.engine.subjects import CLASSES
from stepscore.checkpoint import checkpoint_facts
from stepscore.config import DType, EngineOptions
from stepscore.engine.reference import open_reference_engine
from stepscore.generate.policy import open_policy, policy_at
from stepscore.generate.protocol import Generator, Request, Sampling
from stepscore.scoring.open import open_scorer
from stepscore.search.methods import search_method
from stepscore.search.policy import SEPARATOR, SearchPolicy, StepSampling
from stepscore.search.rating import NodeRater
from stepscore.search.searcher import Searcher, SearchProblem
from stepscore.text.tokenizer import StepTokenizer

MATH_NAMES = (
    "compute_maj_pred",
    "compute_naive_pred",
    "compute_weighted_pred",
    "extract_completion_answers",
    "subsample_completions",
)
"""Of its module that needs packages of its own; beam search calls none of them."""

COMMIT = "6f81cac8b1ca4c4be9fabefc27a856c928f3ae7f"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


@dataclass(frozen=True, slots=True)
class BeamWorkload:
    """What both sides do."""

    problems: tuple[str, ...]
    n: int
    width: int
    rounds: int
    step_tokens: int
    temperature: float = 0.8


@dataclass(frozen=True, slots=True)
class Cost:
    """What one side took. prm_tokens: that went through the PRM's layers, padding included."""

    name: str
    wall: float
    processor: float
    solutions: int
    policy_tokens: int
    prm_tokens: int


Counter = Callable[[], int]


def measure(name: str, run: Counter, policy_tokens: Counter, prm_tokens: Counter) -> Cost:
    wall, processor, before = time.monotonic(), time.process_time(), policy_tokens()
    solutions = run()
    spent = time.monotonic() - wall, time.process_time() - processor
    return Cost(name, *spent, solutions, policy_tokens() - before, prm_tokens())


class TheirPolicy:
    """What search-and-learn takes for vLLM's LLM."""

    def __init__(self, generator: Generator, tokenizer: PreTrainedTokenizerFast) -> None:
        self._generator = generator
        self._tokenizer = tokenizer
        self._calls = 0

    def get_tokenizer(self) -> PreTrainedTokenizerFast:
        return self._tokenizer

    def generate(self, prompts: Sequence[str], params: Any = None, sampling_params: Any = None, **_: Any) -> list[Any]:
        params = params or sampling_params
        self._calls += 1
        requests = [
            Request(
                tuple(self._tokenizer.encode(prompt, add_special_tokens=False)),
                Sampling(
                    max_tokens=params.max_tokens,
                    temperature=params.temperature,
                    stop=tuple(getattr(params, "stop", ())),
                    keep_stop=True,
                    seed=self._calls * 1000 + place,
                ),
            )
            for place, prompt in enumerate(prompts)
        ]
        return [_their_output(answer.text) for (answer,) in self._generator.generate(requests)]


def _their_output(text: str) -> Any:
    stopped = SEPARATOR if text.endswith(SEPARATOR) else None
    return SimpleNamespace(outputs=[SimpleNamespace(text=text, stop_reason=stopped, token_ids=[])])


class CountedModel(TheirModel):
    """Counts the tokens of its calls."""

    tokens = 0

    def __call__(self, input_ids: torch.Tensor) -> tuple[torch.Tensor]:
        self.tokens += input_ids.numel()
        return super().__call__(input_ids)


def their_side(
    checkout: Path, workload: BeamWorkload, generator: Generator, policy: str, prm: str, dtype: DType
) -> Cost:
    facts = checkpoint_facts(prm)
    engine = open_reference_engine(facts, CLASSES, EngineOptions(dtype=dtype, mode="reference"))
    model = CountedModel(engine.models[0])
    stub("vllm", LLM=object, SamplingParams=SimpleNamespace)
    stub("sal.config", Config=object)
    stub("sal.utils.math", **dict.fromkeys(MATH_NAMES))
    scorer = their_scorer(checkout, model, with_padding(StepTokenizer.open(str(facts.path)).inner))
    beam_search = importlib.import_module("sal.search.beam_search").beam_search
    llm = TheirPolicy(generator, StepTokenizer.open(str(checkpoint_facts(policy).path)).inner)

    def run() -> int:
        found = [beam_search({"problem": [each]}, their_config(workload), llm, scorer) for each in workload.problems]
        return sum(len(each["pred"]) for each in found)

    return measure("search-and-learn", run, lambda: generator.tokens, lambda: model.tokens)


def with_padding(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    tokenizer.padding_side = "right"
    return tokenizer


def their_config(workload: BeamWorkload) -> SimpleNamespace:
    return SimpleNamespace(
        n=workload.n,
        beam_width=workload.width,
        num_iterations=workload.rounds,
        temperature=workload.temperature,
        max_tokens=workload.step_tokens,
        top_p=1.0,
        lookahead=0,
        filter_duplicates=False,
        sort_completed=True,
        agg_strategy="last",
        system_prompt=SYSTEM,
        custom_chat_template=None,
    )


def stub(name: str, **attributes: object) -> None:
    made = ModuleType(name)
    vars(made).update(attributes)
    sys.modules[name] = made


def our_side(workload: BeamWorkload, policy: tuple[Generator, Any], prm: str, dtype: DType, in_flight: int) -> Cost:
    generator, prompts = policy
    scorer = open_scorer(prm, options=EngineOptions(dtype=dtype))
    sampling = StepSampling(
        step_tokens=workload.step_tokens, solution_tokens=workload.step_tokens, temperature=workload.temperature
    )
    method = search_method("beam", {"n": workload.n, "width": workload.width, "rounds": workload.rounds})
    searcher = Searcher(
        SearchPolicy(generator, prompts, sampling), NodeRater(scorer, "last"), method, "last", in_flight=in_flight
    )
    problems = [SearchProblem(str(number), each) for number, each in enumerate(workload.problems)]
    return measure(
        f"Stepscore, {in_flight} problems in flight",
        lambda: sum(result.error is None for result in searcher.run(problems)),
        lambda: generator.tokens,
        lambda: scorer.counts().computed,
    )


def table(costs: Sequence[Cost]) -> str:
    """Ratios are to the first one."""
    lines = [
        "| | wall seconds | processor seconds | policy tokens | PRM tokens | faster, by wall | by processor |",
        "|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        first = costs[0]
        lines.append(
            f"| {cost.name} | {cost.wall:.0f} | {cost.processor:.0f} | {cost.policy_tokens:,} | {cost.prm_tokens:,} "
            f"| {first.wall / cost.wall:.2f} | {first.processor / cost.processor:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main(
    file: Annotated[Path, typer.Argument(help="problems.jsonl", exists=True)],
    search_and_learn: Annotated[Path, typer.Option(help=f"a checkout of huggingface/search-and-learn@{COMMIT[:7]}")],
    prm: Annotated[str, typer.Option(help="folder of a Qwen2ForProcessRewardModel checkpoint")],
    out: Annotated[Path, typer.Option(help="file for the table")],
    policy: Annotated[str, typer.Option(help="a folder or a name")] = "qwen2.5-coder-0.5b",
    limit: Annotated[int, typer.Option(min=1)] = 16,
    n: Annotated[int, typer.Option(min=1)] = 4,
    width: Annotated[int, typer.Option(min=1)] = 2,
    rounds: Annotated[int, typer.Option(min=1)] = 12,
    step_tokens: Annotated[int, typer.Option(min=1)] = 150,
    threads: Annotated[int, typer.Option(min=1, help="of one forward")] = 1,
    dtype: str = "bfloat16",
) -> None:
    """Time both on the same problems, theirs first, ours one problem at a time and with 16 in flight."""
    if why := refusal(search_and_learn):
        raise typer.BadParameter(why)
    torch.set_num_threads(threads)
    chosen: DType = "float32" if dtype == "float32" else "bfloat16"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:limit]]
    workload = BeamWorkload(tuple(row["problem"] for row in rows), n, width, rounds, step_tokens)
    costs: list[Cost] = []
    for in_flight in (0, 1, 16):
        opened = open_policy(policy_at(policy, dtype=chosen))
        if in_flight:
            costs.append(our_side(workload, opened, prm, chosen, in_flight))
        else:
            costs.append(their_side(search_and_learn, workload, opened[0], policy, prm, chosen))
        out.write_text(table(costs), encoding="utf-8")
        print(table(costs), flush=True)


if __name__ == "__main__":
    typer.run(main)
