"""Measure what the embedded checkpoint's card says.

    python -m recipes.embedded.measure --data FOLDER --model embedded --out card.json

FOLDER holds `gsm8k/{train,model_solutions}.jsonl` and `processbench/math.json`. Needs the `train` extra. Every part is
written to the file when it is done. A part of size 0 is left out. `--base` reads the base without the adapter.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

from recipes.embedded.corrupt import corruptions
from recipes.embedded.gsm8k import strip_notes, styled
from recipes.embedded.rows import Part, problems_of
from stepscore.embedded.download import fetch
from stepscore.embedded.gguf_checkpoint import write_checkpoint
from stepscore.embedded.prepare import GGUF, RECIPE, cache_folder
from stepscore.embedded.sources import CODER_05B
from stepscore.errors import StepscoreError
from stepscore.open import open_scorer
from stepscore.scoring import Scoring
from stepscore.types import Reading, Solution
from stepscore.verify.answers import final_answer
from stepscore_service.jobs.evaluate.suites.best_of_n import groups_of
from stepscore_service.jobs.evaluate.suites.choosing import BEST, CHANCE, MAJORITY, ORACLE, Chooser
from stepscore_service.jobs.metrics.first_error import accuracies, best_threshold, windows
from stepscore_service.jobs.metrics.interval import Estimate
from stepscore_service.jobs.metrics.separation import auroc_with_interval

CHUNK = 64
AGGREGATES = ("min", "mean", "prod", "geometric_mean", "soft_min")
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
Measured = dict[str, Any]


def readings(scorer: Scoring, solutions: Sequence[Solution], what: str) -> Iterator[Reading | None]:
    """Readings in order; None for a solution that the model cannot read (too long)."""
    chunks = [solutions[start : start + CHUNK] for start in range(0, len(solutions), CHUNK)]
    for chunk in track(chunks, description=what):
        for answer in scorer.score(chunk):
            yield None if isinstance(answer, StepscoreError) else answer


def held_out_steps(gsm8k: Path, problems: int) -> list[tuple[Solution, str]]:
    """Solutions up to one step each, with the kind of mistake in it or "clean"."""
    kept = problems_of(gsm8k, Part.MEASURE)[:problems]
    found: list[tuple[Solution, str]] = []
    for number, each in enumerate(kept):
        rng = random.Random(number)
        worked = styled(each, rng)
        found.append((worked.solution, "clean"))
        found += [(bad.solution, bad.kind) for bad in corruptions(worked, rng)]
    return found


def step_numbers(scorer: Scoring, steps: Sequence[tuple[Solution, str]], name: str) -> dict[str, list[float]]:
    """By kind, the extra number `name` of the steps in question: all steps of clean solutions, the last of others."""
    found: dict[str, list[float]] = defaultdict(list)
    all_readings = readings(scorer, [solution for solution, _ in steps], "held-out steps")
    for (_, kind), reading in zip(steps, all_readings, strict=True):
        if reading is not None:
            numbers = reading.extras.get(name, reading.rewards)
            found[kind] += numbers if kind == "clean" else numbers[-1:]
    return found


def step_auroc(scorer: Scoring, gsm8k: Path, problems: int) -> Measured:
    """AUROC of clean against corrupted held-out steps, over all kinds and for each, with a bootstrap interval."""
    numbers = step_numbers(scorer, held_out_steps(gsm8k, problems), "lowest_logprob")
    clean = numbers.pop("clean")
    every = [number for kind in numbers.values() for number in kind]
    overall = _auroc(clean, every)
    return {
        "problems": problems,
        "clean_steps": len(clean),
        "corrupted_steps": len(every),
        "auroc": _rounded(overall.value),
        "interval_95": [_rounded(overall.low), _rounded(overall.high)],
        "by_kind": {kind: _rounded(_auroc(clean, bad).value) for kind, bad in sorted(numbers.items())},
    }


def _auroc(good: Sequence[float], bad: Sequence[float]) -> Estimate:
    numbers = np.array([*good, *bad], dtype=np.float64)
    return auroc_with_interval(np.arange(len(numbers)) < len(good), numbers, np.arange(len(numbers)))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def candidates(file: Path) -> Iterator[tuple[str, list[str], list[bool]]]:
    """Problem, four models' solutions without notes, and which are right."""
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        texts = [strip_notes(row[model]["solution"]) for model in MODELS]
        yield row["question"], texts, [bool(row[model]["is_correct"]) for model in MODELS]


def best_of_four(scorer: Scoring, file: Path, problems: int) -> Measured:
    """Solution AUROC and best-of-4 accuracy for every aggregate, beside the mean candidate and majority vote.

    problems: a random sample of that size (seed 0). AUROC is over the solutions that the model can read.
    """
    rows = list(candidates(file))
    rows = random.Random(0).sample(rows, min(problems, len(rows)))
    solutions = [Solution(problem, steps_of(text)) for problem, texts, _ in rows for text in texts]
    found = readings(scorer, solutions, "best of four")
    chooser = Chooser(scorer.info.reward_range, (len(MODELS),))
    for _, texts, rights in rows:
        some = islice(found, len(texts))
        rewards = [None if reading is None else reading.rewards for reading in some]
        chooser.add({"correct": rights, "groups": groups_of(list(map(final_answer, texts))), "rewards": rewards})
    chosen = chooser.measured()
    right = {name: _rounded(curve[-1]["value"]) for name, curve in chosen["curves"].items()}
    aurocs = {name: _rounded(auroc["value"]) for name, auroc in chosen["solution_auroc"].items()}
    return {
        "problems": chosen["problems"],
        "unreadable": chosen["unscorable"],
        **{name: {"auroc": aurocs[name], "best_of_4": right[BEST + name]} for name in AGGREGATES},
        "mean_candidate": right[CHANCE],
        "majority_vote": right[MAJORITY],
        "any_right": right[ORACLE],
    }


def steps_of(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.strip())


def process_bench(scorer: Scoring, file: Path, problems: int) -> Measured:
    """Official F1 on ProcessBench MATH: at threshold 0.5, and at one tuned on the first third, read on the rest.

    problems: a random sample of that size (seed 0). An unreadable solution counts as wrongly predicted.
    """
    rows = json.loads(file.read_text(encoding="utf-8"))
    rows = random.Random(0).sample(rows, min(problems, len(rows)))
    solutions = [Solution(row["problem"], tuple(row["steps"])) for row in rows]
    found = list(readings(scorer, solutions, "ProcessBench MATH"))
    labels = [int(row["label"]) for row in rows]
    third = len(rows) // 3
    solved = [
        (None if reading is None else reading.rewards, label) for reading, label in zip(found, labels, strict=True)
    ]
    best = best_threshold(windows(solved[:third]))
    return {
        "problems": len(rows),
        "unreadable": sum(reading is None for reading in found),
        "f1_at_0.5": _f1(solved, 0.5),
        "tuned_threshold": best,
        "f1_tuned_on_first_third_read_on_rest": None if best is None else _f1(solved[third:], best),
    }


def _f1(solved: Sequence[tuple[Sequence[float] | None, int]], threshold: float) -> float | None:
    """In percent; None where all solutions or none hold an error."""
    f1 = accuracies(windows(solved), threshold).f1
    return None if f1 is None else round(100 * f1, 1)


def measure(scorer: Scoring, data: Path, sizes: tuple[int, int, int]) -> Iterator[tuple[str, Measured]]:
    """The parts of the card, each as it is done. sizes: problems of the step AUROC, ProcessBench, best-of-4."""
    steps, bench, solutions = sizes
    if steps:
        yield "step_auroc", step_auroc(scorer, data / "gsm8k" / "train.jsonl", steps)
    if bench:
        yield "processbench_math", process_bench(scorer, data / "processbench" / "math.json", bench)
    if solutions:
        yield "gsm8k_solutions", best_of_four(scorer, data / "gsm8k" / "model_solutions.jsonl", solutions)


def open_base(folder: Path) -> Scoring:
    """The base without the adapter, read with the constants that ship. folder: where it is prepared."""
    recipe = json.loads(RECIPE.read_text(encoding="utf-8"))
    write_checkpoint(fetch(CODER_05B, cache_folder() / GGUF), folder, {}, 1.0, recipe["config"])
    return open_scorer(str(folder), family="number_logprob")


def main(
    data: Annotated[Path, typer.Option(help="folder with gsm8k/ and processbench/", exists=True)],
    out: Annotated[Path, typer.Option(help="JSON file for the results")],
    model: Annotated[str, typer.Option(help="checkpoint to measure")] = "embedded",
    family: Annotated[str, typer.Option(help="read it as this family")] = "",
    base: Annotated[bool, typer.Option(help="measure the base without the adapter instead")] = False,
    steps: Annotated[int, typer.Option(help="held-out problems for the step AUROC")] = 250,
    solutions: Annotated[int, typer.Option(help="problems of the best-of-4")] = 660,
    bench: Annotated[int, typer.Option(help="ProcessBench MATH problems")] = 300,
) -> None:
    """Measure the embedded checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        scorer = open_base(Path(folder)) if base else open_scorer(model, family=family or None)
        name = "base" if base else model
        measured: Measured = {"model": name, "revision": scorer.info.revision, "dtype": scorer.info.dtype}
        for part, numbers in measure(scorer, data, (steps, bench, solutions)):
            measured[part] = numbers
            out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(measured, indent=1))


if __name__ == "__main__":
    typer.run(main)
