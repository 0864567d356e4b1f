"""Measure what the embedded checkpoint's card says.

    python -m recipes.embedded.measure --data FOLDER --model embedded --out card.json

FOLDER holds `gsm8k/{train,model_solutions}.jsonl`, `processbench/math.json` and `steps/`. Needs the `train` extra.
Transfer comes first: choosing among model solutions, first errors of a source kept out of training, ProcessBench;
then corrupted steps and calibration on the development split. Every part is written to the file when it is done. A
part of size 0 is left out; subsets are random with a fixed seed. `--base` reads the base without the adapter.
Intervals hold 95%.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import typer
from rich.progress import track

from recipes.embedded.corrupt import corruptions
from recipes.embedded.gsm8k import strip_notes, styled
from recipes.embedded.held_out import held_out_source
from recipes.embedded.mixture import development
from recipes.embedded.rows import Part, problems_of
from stepscore.config import DType, EngineOptions, cache_folder
from stepscore.embedded.download import fetch
from stepscore.embedded.gguf_checkpoint import TrainedPart, write_checkpoint
from stepscore.embedded.prepare import GGUF, RECIPE
from stepscore.embedded.sources import CODER_05B
from stepscore.errors import StepscoreError
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring
from stepscore.types import Reading, Solution
from stepscore.verify.answers import final_answer
from stepscore_service.jobs.evaluate.suites.best_of_n import groups_of
from stepscore_service.jobs.evaluate.suites.choosing import BEST, CHANCE, MAJORITY, ORACLE, WEIGHTED, Chooser
from stepscore_service.jobs.metrics.calibration import expected_error
from stepscore_service.jobs.metrics.first_error import accuracies, best_threshold, f1_with_interval, windows
from stepscore_service.jobs.metrics.interval import Estimate, Integers
from stepscore_service.jobs.metrics.separation import auroc_with_interval

CHUNK = 64
AGGREGATES = ("min", "mean", "last", "prod", "geometric_mean", "soft_min")
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
Measured = dict[str, Any]
OfProblem = tuple[str, float]
"""A problem and a step's number."""
T = TypeVar("T")


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


def step_numbers(scorer: Scoring, steps: Sequence[tuple[Solution, str]], name: str) -> dict[str, list[OfProblem]]:
    """By kind, the extra number `name` of the steps in question: all steps of clean solutions, the last of others."""
    found: dict[str, list[OfProblem]] = defaultdict(list)
    all_readings = readings(scorer, [solution for solution, _ in steps], "held-out steps")
    for (solution, kind), reading in zip(steps, all_readings, strict=True):
        if reading is not None:
            numbers = reading.extras.get(name, reading.rewards)
            found[kind] += [(solution.problem, each) for each in (numbers if kind == "clean" else numbers[-1:])]
    return found


def step_auroc(scorer: Scoring, gsm8k: Path, problems: int) -> Measured:
    """AUROC of clean against corrupted held-out steps, over all kinds and for each; problems are resampled."""
    numbers = step_numbers(scorer, held_out_steps(gsm8k, problems), "lowest_logprob")
    clean = numbers.pop("clean")
    every = [number for kind in numbers.values() for number in kind]
    overall = separation(clean, every)
    return {
        "problems": problems,
        "clean_steps": len(clean),
        "corrupted_steps": len(every),
        "auroc": _rounded(overall.value),
        "interval_95": [_rounded(overall.low), _rounded(overall.high)],
        "by_kind": {kind: _rounded(separation(clean, bad).value) for kind, bad in sorted(numbers.items())},
    }


def separation(good: Sequence[OfProblem], bad: Sequence[OfProblem]) -> Estimate:
    """AUROC; the steps of one problem are alike, so that problems are resampled with all of theirs."""
    numbers = np.array([number for _, number in (*good, *bad)], dtype=np.float64)
    return auroc_with_interval(np.arange(len(numbers)) < len(good), numbers, units([one for one, _ in (*good, *bad)]))


def units(problems: Sequence[str]) -> Integers:
    """A number for each problem, from 0 on."""
    numbers = {problem: number for number, problem in enumerate(dict.fromkeys(problems))}
    return np.array([numbers[problem] for problem in problems], dtype=np.int64)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def candidates(file: Path) -> Iterator[tuple[str, list[str], list[bool]]]:
    """Problem, four models' solutions without notes, and which are right."""
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        texts = [strip_notes(row[model]["solution"]) for model in MODELS]
        yield row["question"], texts, [bool(row[model]["is_correct"]) for model in MODELS]


def best_of_four(scorer: Scoring, file: Path, problems: int) -> Measured:
    """Solution AUROC, best-of-4 and weighted vote for every aggregate, beside the mean candidate and majority vote.

    problems: a random sample of that size. AUROC is over the solutions that the model can read.
    """
    rows = _sample(list(candidates(file)), problems)
    solutions = [Solution(problem, steps_of(text)) for problem, texts, _ in rows for text in texts]
    found = readings(scorer, solutions, "best of four")
    chooser = Chooser(scorer.info.reward_range, (len(MODELS),))
    for _, texts, rights in rows:
        rewards = [None if reading is None else reading.rewards for reading in islice(found, len(texts))]
        chooser.add({"correct": rights, "groups": groups_of(list(map(final_answer, texts))), "rewards": rewards})
    chosen = chooser.measure()
    right = {name: percent(curve[-1]) for name, curve in chosen["curves"].items()}
    aurocs = {name: percent(auroc) for name, auroc in chosen["solution_auroc"].items()}
    return {
        "problems": chosen["problems"],
        "unreadable": chosen["unscorable"],
        **{
            name: {"auroc": aurocs[name], "best_of_4": right[BEST + name], "weighted_vote": right[WEIGHTED + name]}
            for name in AGGREGATES
        },
        "mean_candidate": right[CHANCE],
        "majority_vote": right[MAJORITY],
        "any_right": right[ORACLE],
        "single_models": {
            model: round(100 * float(np.mean([rights[place] for _, _, rights in rows])), 1)
            for place, model in enumerate(MODELS)
        },
    }


def percent(estimate: Mapping[str, float | None]) -> list[float | None]:
    """Value and interval in percent."""
    found = (estimate[name] for name in ("value", "low", "high"))
    return [None if number is None else round(100 * number, 1) for number in found]


def _sample(rows: list[T], size: int) -> list[T]:
    return random.Random(0).sample(rows, min(size, len(rows)))


def steps_of(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.strip())


def first_errors(scorer: Scoring, solved: Sequence[tuple[Solution, int]], what: str) -> Measured:
    """ProcessBench's F1: at threshold 0.5, and tuned on either half and measured on the other.

    solved: solutions with their first wrong step, -1 if there is none. An unreadable one counts as wrongly predicted.
    Problems are resampled.
    """
    found = readings(scorer, [solution for solution, _ in solved], what)
    rewards = [None if reading is None else reading.rewards for reading in found]
    labelled = list(zip(rewards, (label for _, label in solved), strict=True))
    problems = units([solution.problem for solution, _ in solved])
    halves = [[each for each, number in zip(labelled, problems, strict=True) if number % 2 == half] for half in (0, 1)]
    best = [best_threshold(windows(half)) for half in halves]
    return {
        "solutions": len(solved),
        "wrong": sum(label >= 0 for _, label in solved),
        "unreadable": sum(each is None for each in rewards),
        "f1_at_0.5": percent(asdict(f1_with_interval(windows(labelled), 0.5, problems))),
        "f1_at_best_threshold": _f1(labelled, best_threshold(windows(labelled))),
        "f1_tuned_on_other_half": [_f1(halves[1], best[0]), _f1(halves[0], best[1])],
        "tuned_thresholds": best,
    }


def _f1(solved: Sequence[tuple[Sequence[float] | None, int]], threshold: float | None) -> float | None:
    """In percent; None if all solutions or none hold an error."""
    f1 = None if threshold is None else accuracies(windows(solved), threshold).f1
    return None if f1 is None else round(100 * f1, 1)


def process_bench(file: Path, problems: int) -> list[tuple[Solution, int]]:
    rows = _sample(json.loads(file.read_text(encoding="utf-8")), problems)
    return [(Solution(row["problem"], tuple(row["steps"])), int(row["label"])) for row in rows]


def calibration(scorer: Scoring, data: Path) -> Measured:
    """Of the labelled steps of the development split, on which the constants were fitted."""
    rows = [row for group in development(data) for row in group]
    solutions = [Solution(row["prompt"], tuple(row["completions"])) for row in rows]
    rewards, labels, problems = [], [], []
    for row, reading in zip(rows, readings(scorer, solutions, "development split"), strict=True):
        if reading is not None:
            known = [place for place, label in enumerate(row["labels"]) if label is not None]
            rewards += [reading.rewards[place] for place in known]
            labels += [float(row["labels"][place]) for place in known]
            problems += [row["prompt"] for _ in known]
    error = expected_error(np.array(rewards), np.array(labels))
    solved = [
        (solution, row["labels"].index(False) if False in row["labels"] else -1)
        for solution, row in zip(solutions, rows, strict=True)
    ]
    return {
        "steps": len(labels),
        "ece": round(error, 4),
        "auroc": percent(asdict(auroc_with_interval(np.array(labels) > 0, np.array(rewards), units(problems)))),
        "first_errors": first_errors(scorer, solved, "development split, first errors"),
    }


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each part is measured; 0 leaves it out. steps: held-out problems whose steps are corrupted."""

    solutions: int
    held_out: int
    bench: int
    steps: int
    development: bool


def measure(scorer: Scoring, data: Path, sizes: Sizes) -> Iterator[tuple[str, Measured]]:
    """The parts of the card, each as it is done."""
    if sizes.solutions:
        yield "gsm8k_solutions", best_of_four(scorer, data / "gsm8k" / "model_solutions.jsonl", sizes.solutions)
    if sizes.held_out:
        held_out = _sample(held_out_source(data), sizes.held_out)
        yield "held_out_source", first_errors(scorer, held_out, "a source kept out")
    if sizes.bench:
        bench = process_bench(data / "processbench" / "math.json", sizes.bench)
        yield "processbench_math", first_errors(scorer, bench, "ProcessBench MATH")
    if sizes.steps:
        yield "step_auroc", step_auroc(scorer, data / "gsm8k" / "train.jsonl", sizes.steps)
    if sizes.development:
        yield "development", calibration(scorer, data)


def open_base(folder: Path, options: EngineOptions) -> Scoring:
    """The base without the adapter, read with the constants that ship. folder: where it is prepared."""
    recipe = json.loads(RECIPE.read_text(encoding="utf-8"))
    write_checkpoint(fetch(CODER_05B, cache_folder() / GGUF), folder, [TrainedPart(config=recipe["config"])])
    return open_scorer(str(folder), family="number_logprob", options=options)


def main(
    data: Annotated[Path, typer.Option(help="folder with gsm8k/, processbench/ and steps/", exists=True)],
    out: Annotated[Path, typer.Option(help="JSON file for the results")],
    model: Annotated[str, typer.Option(help="checkpoint to measure")] = "embedded",
    family: Annotated[str, typer.Option(help="read it as this family")] = "",
    base: Annotated[bool, typer.Option(help="measure the base without the adapter instead")] = False,
    dtype: Annotated[DType, typer.Option(help="number format of the forward")] = "auto",
    solutions: Annotated[int, typer.Option(help="problems of the best-of-4")] = 660,
    held_out: Annotated[int, typer.Option(help="solutions of a source kept out of training")] = 300,
    bench: Annotated[int, typer.Option(help="ProcessBench MATH problems")] = 300,
    steps: Annotated[int, typer.Option(help="held-out problems for the step AUROC")] = 80,
    calibrated: Annotated[bool, typer.Option("--development/--no-development", help="calibration")] = True,
) -> None:
    """Measure the embedded checkpoint, or any other."""
    options = EngineOptions(dtype=dtype)
    with tempfile.TemporaryDirectory() as folder:
        scorer = (
            open_base(Path(folder), options) if base else open_scorer(model, family=family or None, options=options)
        )
        name = "base" if base else model
        measured: Measured = {"model": name, "revision": scorer.info.revision, "dtype": scorer.info.dtype}
        for part, numbers in measure(scorer, data, Sizes(solutions, held_out, bench, steps, calibrated)):
            measured[part] = numbers
            out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(measured, indent=1))


if __name__ == "__main__":
    typer.run(main)
