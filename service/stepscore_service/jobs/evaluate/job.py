"""The whole job behind `stepscore evaluate`: from what was chosen on the command line to the written report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stepscore.types import RewardRange
from stepscore_service.jobs.evaluate.evaluation import Part, measure, score, with_suite
from stepscore_service.jobs.evaluate.facts import facts
from stepscore_service.jobs.evaluate.report.write import summary, write_report
from stepscore_service.jobs.evaluate.suites.base import Measured, Suite
from stepscore_service.jobs.evaluate.suites.best_of_n import BestOfN
from stepscore_service.jobs.evaluate.suites.prmbench import PrmBench, Rule, rule_of
from stepscore_service.jobs.evaluate.suites.processbench import ProcessBench
from stepscore_service.jobs.evaluate.suites.steps import LabelledSteps
from stepscore_service.jobs.rewards import Rewards
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.lock import lock_folder
from stepscore_service.jobs.runs.manifest import Manifest
from stepscore_service.jobs.runs.model import describe, manifest_of
from stepscore_service.jobs.runs.source import check_first, open_source
from stepscore_service.settings import Settings

Open = Callable[[Settings, str | None], AbstractContextManager[Rewards]]
TUNED, OF_MODEL = "tuned", "model"


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for. files: by suite, each as FILE or NAME=FILE."""

    out: Path
    files: Mapping[str, tuple[str, ...]]
    threshold: str = OF_MODEL
    tune_on: str = ""
    split: str = "auto"
    probes: bool = True
    with_bias: bool = False
    sample: int = 0
    batch_rows: int = 16

    def number(self) -> float | None:
        """The threshold where it was given as a number. Ends the command for anything but its three forms."""
        if self.threshold in (TUNED, OF_MODEL):
            return None
        try:
            return float(self.threshold)
        except ValueError:
            console.fail(f"--threshold {self.threshold} is neither a number nor `tuned` nor `model`.")


def evaluate_all(choice: Choice, settings: Settings, url: str | None, orm: str | None, open_: Open) -> None:
    """Check everything that can be checked, open the model, score, measure, write. Ends the command with its status."""
    parts = _parts(choice)
    for part in parts:
        check_first(part.source, part.suite.ask, part.suite.shape)
    with _held(choice.out):
        measured = _measured(choice, parts, settings, url, orm, open_)
        _write_report(measured, choice.out)
    console.OUT.print(summary(measured))
    console.info(f"Report: {choice.out / 'report.html'}")
    if malformed := measured["malformed_rows"]:
        console.fail(
            f'{malformed} rows cannot be used; see those with "error" in {choice.out / "rows"}.', console.ROWS_FAILED
        )


def _measured(
    choice: Choice, parts: list[Part], settings: Settings, url: str | None, orm: str | None, open_: Open
) -> Measured:
    """Score what is not scored yet, and measure everything."""
    with ExitStack() as stack:
        rewards = stack.enter_context(open_(settings, url)) if any(part.asks() for part in parts) else None
        outcome = stack.enter_context(open_(_for_orm(settings, orm), None)) if orm else None
        parts = with_suite(parts, _suites(choice, rewards, outcome))
        if rewards is not None:
            console.info(f"Evaluating {describe(rewards.info)}")
        malformed = 0
        for part in parts:
            manifest = _manifest(choice, settings, part, rewards, outcome)
            malformed += score(part, rewards, choice.out, manifest, choice.batch_rows)
        info = None if rewards is None else rewards.info
    return {
        **facts(info, url),
        "inputs": [_input(part) for part in parts],
        "malformed_rows": malformed,
        "suites": measure(parts, _range(rewards), choice.out),
    }


def _held(out: Path) -> IO[str]:
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


def _for_orm(settings: Settings, orm: str) -> Settings:
    """The same engine for another model: what names the first model's family is not meant for it."""
    changed = {"models": (orm,), "family": None, "family_options": (), "temperature": 1.0, "calibration": None}
    return settings.model_copy(update=changed)


def _parts(choice: Choice) -> list[Part]:
    """Ends the command where nothing is to be done, a file cannot be read or a name is given twice."""
    if not choice.files:
        console.fail("nothing to evaluate: give --processbench, --prmbench, --best-of-n or --steps with a file.")
    suites = _suites(choice, None, None)
    parts = []
    for kind, given in choice.files.items():
        names = [_named(each)[0] for each in given]
        if len(set(names)) < len(names):
            console.fail(f"two files of one suite have one name: {', '.join(names)}. Give NAME=FILE.")
        parts += [
            Part(suites[kind], name, open_source(path, sample=choice.sample, empty=False))
            for name, path in map(_named, given)
        ]
    return parts


def _suites(choice: Choice, rewards: Rewards | None, orm: Rewards | None) -> dict[str, Suite]:
    """The suites as the model needs them. rewards: None where no model is open yet."""
    number = choice.number()
    own = 0.5 if rewards is None else rewards.info.threshold
    family = "" if rewards is None else rewards.info.family
    aggregate = "min" if rewards is None else rewards.info.aggregate
    rule = Rule(number) if number is not None else rule_of(family, own)
    return {
        "processbench": ProcessBench(own if number is None else number, _tune_on(choice)),
        "prmbench": PrmBench(rule),
        "best_of_n": BestOfN(choice.split, aggregate, orm),
        "steps": LabelledSteps(aggregate, choice.probes, choice.with_bias),
    }


def _tune_on(choice: Choice) -> str:
    """The name of the file to tune on, or nothing. Ends the command where there is no such file."""
    if choice.threshold != TUNED:
        return "" if not choice.tune_on else console.fail("--tune-on goes with --threshold tuned.")
    names = [_named(each)[0] for each in choice.files.get("processbench", ())]
    if choice.tune_on not in names:
        known = ", ".join(names) or "none"
        console.fail(f"--threshold tuned needs --tune-on NAME, the name of a --processbench file (given: {known}).")
    return choice.tune_on


def _named(given: str) -> tuple[str, str]:
    """(name, path) of `NAME=FILE`; a file without a name is called by its own, without the suffix."""
    name, equals, path = given.partition("=")
    return (name, path) if equals and "/" not in name else (Path(given).stem, given)


def _manifest(choice: Choice, settings: Settings, part: Part, rewards: Rewards | None, orm: Rewards | None) -> Manifest:
    """What the rows of a part depend on. Thresholds are no part of it: they are applied to the written rewards."""
    chosen: dict[str, str | float] = {"suite": part.suite.kind, "sample": choice.sample}
    if part.suite.kind == "steps":
        chosen["probes"] = choice.probes
    if part.suite.kind == "best_of_n":
        chosen |= {"split": choice.split, "orm": "" if orm is None else f"{orm.info.id}@{orm.info.revision}"}
    if rewards is None:
        return {"command": "evaluate", "input_sha256": part.source.digest, "input_rows": part.source.total, **chosen}
    return manifest_of("evaluate", rewards.info, settings, part.source, **chosen)


def _input(part: Part) -> Measured:
    path, source = Path(part.source.path), part.source
    return {
        "suite": part.suite.kind,
        "name": part.name,
        "file": path.name,
        "rows": source.total,
        "of": source.rows,
        "sha256": source.digest,
    }


def _range(rewards: Rewards | None) -> RewardRange | None:
    return None if rewards is None else rewards.info.reward_range
