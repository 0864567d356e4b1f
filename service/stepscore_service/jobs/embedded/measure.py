"""Measure what the embedded checkpoint's card says.

    python -m stepscore_service.jobs.embedded.measure --data FOLDER --model embedded --out card.json

FOLDER holds `gsm8k/{train,model_solutions}.jsonl` and `processbench/math.json`. Needs the `train` extra. Every part is
written to the file when it is done. A part of size 0 is left out. `--base` reads the base without the adapter.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from stepscore.aggregate import aggregate, first_error
from stepscore.embedded.prepare import RECIPE, write
from stepscore.errors import StepscoreError
from stepscore.scorer import Scorer, open_scorer
from stepscore.types import Reading, Solution
from stepscore.verify.answers import final_answer, group_answers
from stepscore_service.jobs.embedded.corrupt import corruptions
from stepscore_service.jobs.embedded.gsm8k import read_worked, strip_notes, styled
from stepscore_service.jobs.embedded.rows import HELD_OUT

CHUNK = 64
AGGREGATES = ("min", "mean", "prod", "geometric_mean", "soft_min")
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
Measured = dict[str, Any]


def readings(scorer: Scorer, solutions: Sequence[Solution], what: str) -> Iterator[Reading | None]:
    """Readings in order; None for a solution that the model cannot read (too long)."""
    chunks = [solutions[start : start + CHUNK] for start in range(0, len(solutions), CHUNK)]
    for chunk in track(chunks, description=what):
        for answer in scorer.score(chunk):
            yield None if isinstance(answer, StepscoreError) else answer


def held_out_steps(gsm8k: Path, problems: int, *, calibration: bool) -> list[tuple[Solution, str]]:
    """Solutions up to one step each, with the kind of mistake in it or "clean".

    Of the problems kept out of training, even ones are for calibration and odd ones for measurement.
    """
    kept = list(read_worked(gsm8k))[-HELD_OUT:][0 if calibration else 1 :: 2][:problems]
    found: list[tuple[Solution, str]] = []
    for number, each in enumerate(kept):
        rng = random.Random(number)
        worked = styled(each, rng)
        found.append((worked.solution, "clean"))
        found += [(bad.solution, bad.kind) for bad in corruptions(worked, rng)]
    return found


def step_numbers(scorer: Scorer, steps: Sequence[tuple[Solution, str]], name: str) -> dict[str, list[float]]:
    """By kind, the extra number `name` of the steps in question: all steps of clean solutions, the last of others."""
    found: dict[str, list[float]] = defaultdict(list)
    all_readings = readings(scorer, [solution for solution, _ in steps], "held-out steps")
    for (_, kind), reading in zip(steps, all_readings, strict=True):
        if reading is not None:
            numbers = reading.extras.get(name, reading.rewards)
            found[kind] += numbers if kind == "clean" else numbers[-1:]
    return found


def calibrate(scorer: Scorer, gsm8k: Path, problems: int) -> Measured:
    """The constants of the reading, fitted so that a sound step is as likely as a corrupted one beforehand."""
    steps = held_out_steps(gsm8k, problems, calibration=True)
    with_digits: list[tuple[float, int]] = []
    wordy: list[tuple[float, int]] = []
    for (solution, kind), reading in zip(
        steps, readings(scorer, [solution for solution, _ in steps], "calibration"), strict=True
    ):
        if reading is None:
            continue
        marks = scorer.encode(solution).marks
        lowest = reading.extras["lowest_logprob"]
        chosen = range(len(lowest)) if kind == "clean" else [len(lowest) - 1]
        for step in chosen:
            (with_digits if marks[step] > 0 else wordy).append((lowest[step], int(kind == "clean")))
    slope, offset = _logistic(with_digits)
    # Wordy steps are almost never corrupted here, so their constants only keep their scale apart from digits'.
    center = float(np.median([number for number, _ in wordy])) if wordy else -6.0
    return {"slope": slope, "offset": offset, "wordy_slope": slope / 2, "wordy_offset": 2.0 - center * slope / 2}


def _logistic(rows: Sequence[tuple[float, int]]) -> tuple[float, float]:
    model = LogisticRegression(class_weight="balanced")
    model.fit([[number] for number, _ in rows], [label for _, label in rows])
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def step_auroc(scorer: Scorer, gsm8k: Path, problems: int) -> Measured:
    """AUROC of clean against corrupted held-out steps, over all kinds and for each, with a bootstrap interval."""
    numbers = step_numbers(scorer, held_out_steps(gsm8k, problems, calibration=False), "lowest_logprob")
    clean = numbers.pop("clean")
    every = [number for kind in numbers.values() for number in kind]
    rewards = {kind: round(_auroc(clean, bad), 4) for kind, bad in sorted(numbers.items())}
    return {
        "problems": problems,
        "clean_steps": len(clean),
        "corrupted_steps": len(every),
        "auroc": round(_auroc(clean, every), 4),
        "interval_95": [round(bound, 4) for bound in _bootstrap(clean, every)],
        "by_kind": rewards,
    }


def _auroc(good: Sequence[float], bad: Sequence[float]) -> float:
    return float(roc_auc_score([1] * len(good) + [0] * len(bad), [*good, *bad]))


def _bootstrap(good: Sequence[float], bad: Sequence[float], rounds: int = 200) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    found = [_auroc(rng.choice(good, len(good)).tolist(), rng.choice(bad, len(bad)).tolist()) for _ in range(rounds)]
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def candidates(file: Path) -> Iterator[tuple[str, list[str], list[bool]]]:
    """Problem, four models' solutions without notes, and which are right."""
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        texts = [strip_notes(row[model]["solution"]) for model in MODELS]
        yield row["question"], texts, [bool(row[model]["is_correct"]) for model in MODELS]


def best_of_four(scorer: Scorer, file: Path, problems: int) -> Measured:
    """Solution AUROC and best-of-4 accuracy for every aggregate, beside the mean candidate and majority vote.

    problems: a random sample of that size (seed 0). AUROC is over the solutions that the model can read.
    """
    rows = list(candidates(file))
    rows = random.Random(0).sample(rows, min(problems, len(rows)))
    solutions = [Solution(problem, steps_of(text)) for problem, texts, _ in rows for text in texts]
    found = list(readings(scorer, solutions, "best of four"))
    correct = np.array([right for _, _, rights in rows for right in rights])
    readable = np.array([reading is not None for reading in found])
    measured: Measured = {"problems": len(rows), "unreadable": int((~readable).sum())}
    for name in AGGREGATES:
        scores = np.array([_score(scorer, reading, name) for reading in found])
        picked = scores.reshape(-1, len(MODELS)).argmax(axis=1)
        measured[name] = {
            "auroc": round(_auroc(scores[correct & readable].tolist(), scores[~correct & readable].tolist()), 4),
            "best_of_4": round(float(correct.reshape(-1, len(MODELS))[np.arange(len(rows)), picked].mean()), 4),
        }
    measured["mean_candidate"] = round(float(correct.mean()), 4)
    measured["majority_vote"] = round(float(np.mean([_majority(texts, rights) for _, texts, rights in rows])), 4)
    measured["any_right"] = round(float(correct.reshape(-1, len(MODELS)).any(axis=1).mean()), 4)
    return measured


def _score(scorer: Scorer, reading: Reading | None, name: str) -> float:
    """A candidate that cannot be read is the last choice."""
    return -np.inf if reading is None else aggregate(reading.rewards, name, scorer.info.range)


def steps_of(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.strip())


def _majority(texts: Sequence[str], rights: Sequence[bool]) -> float:
    """1 where the largest group of equal answers is right; a tie is the mean of the tied groups."""
    groups = group_answers([final_answer(text) for text in texts])
    size = max((len(group) for group in groups), default=0)
    largest = [group for group in groups if len(group) == size]
    return float(np.mean([rights[group[0]] for group in largest])) if largest else float(np.mean(rights))


def process_bench(scorer: Scorer, file: Path, problems: int) -> Measured:
    """Official F1 on ProcessBench MATH: at threshold 0.5, and at one tuned on the first third, read on the rest.

    problems: a random sample of that size (seed 0). An unreadable solution counts as wrongly predicted.
    """
    rows = json.loads(file.read_text(encoding="utf-8"))
    rows = random.Random(0).sample(rows, min(problems, len(rows)))
    solutions = [Solution(row["problem"], tuple(row["steps"])) for row in rows]
    found = list(readings(scorer, solutions, "ProcessBench MATH"))
    labels = [int(row["label"]) for row in rows]
    third = len(rows) // 3
    grid = [step / 100 for step in range(1, 100)]
    tuned = max(grid, key=lambda threshold: _f1(found[:third], labels[:third], threshold))
    return {
        "problems": len(rows),
        "unreadable": sum(reading is None for reading in found),
        "f1_at_0.5": round(100 * _f1(found, labels, 0.5), 1),
        "tuned_threshold": tuned,
        "f1_tuned_on_first_third_read_on_rest": round(100 * _f1(found[third:], labels[third:], tuned), 1),
    }


def _f1(found: Sequence[Reading | None], labels: Sequence[int], threshold: float) -> float:
    """Harmonic mean of the accuracies on solutions with and without an error (QwenLM/ProcessBench)."""
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for reading, label in zip(found, labels, strict=True):
        predicted = None if reading is None else first_error(reading.rewards, threshold)
        hits[label >= 0].append(reading is not None and (-1 if predicted is None else predicted) == label)
    wrong, right = (float(np.mean(hits[kind])) if hits[kind] else 0.0 for kind in (True, False))
    return 2 * wrong * right / (wrong + right) if wrong + right else 0.0


def measure(scorer: Scorer, data: Path, sizes: tuple[int, int, int]) -> Iterator[tuple[str, Measured]]:
    """The parts of the card, each as it is done. sizes: problems of the step AUROC, ProcessBench, best-of-4."""
    steps, bench, solutions = sizes
    if steps:
        yield "step_auroc", step_auroc(scorer, data / "gsm8k" / "train.jsonl", steps)
    if bench:
        yield "processbench_math", process_bench(scorer, data / "processbench" / "math.json", bench)
    if solutions:
        yield "gsm8k_solutions", best_of_four(scorer, data / "gsm8k" / "model_solutions.jsonl", solutions)


def open_base(folder: Path) -> Scorer:
    """The base without the adapter, read with the constants that ship. folder: where it is prepared."""
    write(folder, {}, json.loads(RECIPE.read_text(encoding="utf-8")))
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
