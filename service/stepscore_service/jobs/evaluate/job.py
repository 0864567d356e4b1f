"""The job of `stepscore evaluate`: from the request of the command line to the written report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from stepscore.aggregate import check_threshold
from stepscore.errors import InvalidThreshold
from stepscore_service.jobs.evaluate.evaluation import EvaluationPart, measure, score
from stepscore_service.jobs.evaluate.facts import facts
from stepscore_service.jobs.evaluate.misses import worst_misses
from stepscore_service.jobs.evaluate.models import EvaluatedModel, EvaluationModels
from stepscore_service.jobs.evaluate.report.write import METRICS, summary, write_report
from stepscore_service.jobs.evaluate.suites.base import Measured, RewardFacts
from stepscore_service.jobs.evaluate.suites.registry import SUITES, SuiteOptions, build_suite
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.first_row import check_first
from stepscore_service.jobs.runs.hub import file_name, is_hub
from stepscore_service.jobs.runs.lock import lock_folder
from stepscore_service.jobs.runs.manifest import Manifest
from stepscore_service.jobs.runs.model import describe, manifest_of
from stepscore_service.jobs.runs.rewards import Rewards
from stepscore_service.jobs.runs.source import open_source
from stepscore_service.settings import Settings

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo

TUNED, OF_MODEL = "tuned", "model"


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What to evaluate. files: by suite, each as FILE or NAME=FILE."""

    out: Path
    files: Mapping[str, tuple[str, ...]]
    threshold: str = OF_MODEL
    tune_on: str = ""
    columns: str = ""
    split: str = "auto"
    probes: bool = True
    with_bias: bool = False
    sample: int = 0
    batch_rows: int = 16

    def number(self) -> float | None:
        """The threshold if it was given as a number. Ends the command for anything but its three forms."""
        if self.threshold in (TUNED, OF_MODEL):
            return None
        with suppress(ValueError):
            if math.isfinite(found := float(self.threshold)):
                return found
        console.fail(f"--threshold {self.threshold} is neither a number nor `tuned` nor `model`.")


def evaluate_all(request: EvaluationRequest, settings: Settings, url: str | None, orm: str | None) -> None:
    """Check everything that can be checked, open the model, score, measure, write. Ends the command with its status.

    If every row is scored already, no model is opened: the report is made again from the rows.
    """
    with EvaluationModels(settings, url, orm) as models:
        parts = _parts(request, models.outcome if orm else None)
        for part in parts:
            part.source.refuse_output(*(other.journal(request.out) for other in parts), request.out / METRICS)
            check_first(part.source, part.suite.ask, part.suite.shape)
        with _lock(request.out):
            measured = _measure(request, parts, settings, models)
            _write_report(measured, request.out)
    console.show_result(summary(measured))
    console.info(f"Report: {request.out / 'report.html'}")
    if malformed := measured["malformed_rows"]:
        rows = console.with_count(malformed, "row")
        console.fail(f'{rows} cannot be used; see "error" in {request.out / "rows"}.', console.ROWS_FAILED)


def _measure(
    request: EvaluationRequest, parts: list[EvaluationPart], settings: Settings, models: EvaluationModels
) -> Measured:
    """Score what is not scored yet, and measure everything."""
    out = request.out
    model, rewards = _find_finished(request, parts, settings, models), None
    if model is None:
        model = models.open(asked := any(part.asks() for part in parts))
        models.note(model, out)
        rewards = models.rewards() if asked else None
        if model.info is not None:
            console.info(f"Evaluating {describe(model.info)}")
    _check_threshold(request, model.info)
    malformed = 0
    for part in parts:
        malformed += score(part, rewards, out, _manifest(request, settings, part, model), request.batch_rows)
    rewards_are = _reward_facts(model.info)
    suites = measure(parts, rewards_are, out)
    return {
        **facts(model.info, model.hardware),
        "inputs": [_input(part) for part in parts],
        "malformed_rows": malformed,
        "suites": suites,
        "misses": worst_misses(parts, suites, rewards_are, out),
    }


def _check_threshold(request: EvaluationRequest, info: ModelInfo | None) -> None:
    """Ends the command if the rewards of this model have no such threshold."""
    if info is None or (threshold := request.number()) is None:
        return
    try:
        check_threshold(threshold, info.reward_range)
    except InvalidThreshold as error:
        console.fail_with(error)


def _find_finished(
    request: EvaluationRequest, parts: list[EvaluationPart], settings: Settings, models: EvaluationModels
) -> EvaluatedModel | None:
    """What an earlier run opened, if it scored every row that is asked for now."""
    known = models.read_note(request.out)
    if known is None:
        return None
    if not all(part.is_finished(request.out, _manifest(request, settings, part, known)) for part in parts):
        return None
    console.info(f"All rows are scored in {request.out}: making the report from them, without opening a model.")
    return known


def _lock(out: Path) -> IO[str]:
    """The folder, made and locked before a model is opened, so that a mistyped --out is noticed at once."""
    try:
        (out / "rows").mkdir(parents=True, exist_ok=True)
        return lock_folder(out)
    except BlockingIOError:
        console.fail(f"another run is writing {out}. Wait for it, or give another --out.")
    except OSError as error:
        console.fail(f"cannot make the folder {out}: {error.strerror}. Give another --out.")


def _write_report(measured: Measured, out: Path) -> None:
    try:
        write_report(measured, out)
    except OSError as error:
        console.fail(
            f"cannot write the report in {out}: {error.strerror}. The same command writes it again and scores nothing."
        )


def _parts(request: EvaluationRequest, outcome: Callable[[], Rewards] | None) -> list[EvaluationPart]:
    """Ends the command if there is nothing to do, a file cannot be read or a name is given twice."""
    if not request.files:
        flags = ", ".join(f"--{kind.replace('_', '-')}" for kind in SUITES)
        console.fail(f"nothing to evaluate: give one of {flags} with a file.")
    options = SuiteOptions(
        request.number(), _tune_on(request), request.split, request.probes, request.with_bias, outcome
    )
    parts = []
    for kind, given in request.files.items():
        suite, names = build_suite(kind, options), [_split_name(each)[0] for each in given]
        if len(set(names)) < len(names):
            console.fail(f"two files of one suite have one name: {', '.join(names)}. Give NAME=FILE.")
        for name, path in map(_split_name, given):
            parts.append(EvaluationPart(suite, name, open_source(path, sample=request.sample, columns=request.columns)))
    return parts


def _tune_on(request: EvaluationRequest) -> str:
    """The name of the file to tune on, or nothing. Ends the command if there is no such file."""
    if request.threshold != TUNED:
        return "" if not request.tune_on else console.fail("--tune-on goes with --threshold tuned.")
    names = [_split_name(each)[0] for each in request.files.get("processbench", ())]
    if request.tune_on not in names:
        known = ", ".join(names) or "none"
        console.fail(f"--threshold tuned needs --tune-on NAME, the name of a --processbench file (given: {known}).")
    return request.tune_on


def _split_name(given: str) -> tuple[str, str]:
    """(name, path) of `NAME=FILE`; a file without a name is called by its own, without the suffix."""
    name, equals, path = given.partition("=")
    if equals and "/" not in name:
        return name, path
    return file_name(given) if is_hub(given) else Path(given).stem, given


def _manifest(request: EvaluationRequest, settings: Settings, part: EvaluationPart, model: EvaluatedModel) -> Manifest:
    """What the rows of a part depend on. Thresholds are not part of it: they are applied to the written rewards."""
    chosen: dict[str, str | float] = {"suite": part.suite.kind, "sample": request.sample}
    if part.suite.kind == "steps":
        chosen["probes"] = request.probes
    if part.suite.kind == "best_of_n":
        chosen |= {"split": request.split, "orm": model.outcome}
    if model.info is None:
        columns = {"columns": ",".join(map("=".join, part.source.names))} if part.source.names else {}
        read = {"input_sha256": part.source.digest, "input_rows": part.source.total, **columns}
        return {"command": "evaluate", **read, **chosen}
    return manifest_of("evaluate", model.info, settings, part.source, **chosen)


def _input(part: EvaluationPart) -> Measured:
    path, source = Path(part.source.path), part.source
    return {
        "suite": part.suite.kind,
        "name": part.name,
        "file": path.name,
        "rows": source.total,
        "of": source.rows,
        "sha256": source.digest,
    }


def _reward_facts(info: ModelInfo | None) -> RewardFacts | None:
    return None if info is None else RewardFacts(info.reward_range, info.threshold, info.aggregate, info.family)
