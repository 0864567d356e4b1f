"""Workloads of real text: GSM8K's published model solutions and ProcessBench, cut by the embedded model's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.engine.workloads import Sizes, Tokens, Workload, workloads
from stepscore.embedded.prepare import prepare_base
from stepscore.embedded.sources import CODER_05B
from stepscore.text.tokenizer import StepTokenizer

Tokenise = Callable[[str], Tokens]
Group = tuple[Tokens, list[Tokens]]

GSM8K, PROCESSBENCH = Path("gsm8k/model_solutions.jsonl"), Path("processbench/math.json")
GSM8K_CANDIDATES = 4


class RealSource:
    """Prompts with their solutions, one group after the other, and the steps of all of them, round and round."""

    def __init__(self, groups: Sequence[Group], marker: int) -> None:
        self._groups = cycle(groups)
        self._steps = cycle([step for _, answers in groups for answer in answers for step in _cut(answer, marker)])

    def group(self, size: int) -> Group:
        prompt, answers = next(self._groups)
        return prompt, answers[:size]

    def step(self) -> Tokens:
        return next(self._steps)


def real_workloads(data: Path, tokenise: Tokenise, marker: int, sizes: Sizes) -> Iterator[Workload]:
    """The four workloads over GSM8K (reranks of four), and again over ProcessBench (one solution a problem)."""
    gsm8k = RealSource(list(_gsm8k(data / GSM8K, tokenise, marker, 2 * sizes.count)), marker)
    yield from workloads(gsm8k, marker, sizes, "GSM8K: ", GSM8K_CANDIDATES)
    processbench = RealSource(list(_processbench(data / PROCESSBENCH, tokenise, marker, 2 * sizes.count)), marker)
    for workload in workloads(processbench, marker, sizes, "ProcessBench: ", 1):
        if "rerank" not in workload.name:
            yield workload


def missing(data: Path) -> str:
    """What real workloads lack here; empty where nothing."""
    absent = [str(path) for path in (GSM8K, PROCESSBENCH) if not (data / path).is_file()]
    return f"{', '.join(absent)} in the folder of --data" if absent else ""


def tokeniser(marker: int) -> Tokenise:
    """The tokenizer of the embedded checkpoint's base, which is prepared if it is missing.

    Ids from the marker on are folded into a smaller vocabulary: the lengths stay those of real text.
    """
    ids = StepTokenizer.open(str(prepare_base(CODER_05B.name))).ids
    return lambda text: [token % marker for token in ids(text)]


def _gsm8k(file: Path, tokenise: Tokenise, marker: int, count: int) -> Iterator[Group]:
    for line in _spread(file.read_text(encoding="utf-8").splitlines(), count):
        item = json.loads(line)
        written = [value["solution"] for value in item.values() if isinstance(value, dict) and "solution" in value]
        answers = [_marked(answer.splitlines(), tokenise, marker) for answer in written]
        yield tokenise(f"Problem: {item['question']}\n"), answers


def _processbench(file: Path, tokenise: Tokenise, marker: int, count: int) -> Iterator[Group]:
    for item in _spread(json.loads(file.read_text(encoding="utf-8")), count):
        yield tokenise(f"Problem: {item['problem']}\n"), [_marked(item["steps"], tokenise, marker)]


def _marked(steps: Sequence[str], tokenise: Tokenise, marker: int) -> Tokens:
    return [token for step in steps if step.strip() for token in (*tokenise(step), marker)]


def _cut(answer: Tokens, marker: int) -> Iterator[Tokens]:
    """The steps of an answer, each with its marker."""
    start = 0
    for place, token in enumerate(answer):
        if token == marker:
            yield answer[start : place + 1]
            start = place + 1


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """That many items, from first to last at even distances; all where there are fewer."""
    return [items[len(items) * place // count] for place in range(count)] if count < len(items) else list(items)
