"""The suites: the one place that names them.

A suite `x` is the file `suites/x.py` with `build(options)`, the file `report/x.py` with `sections(measured)`, and an
entry here. The flag of `stepscore evaluate` is made from the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepscore_service.jobs.evaluate.report.parts import Section
    from stepscore_service.jobs.evaluate.suites.base import Measured, Suite
    from stepscore_service.jobs.runs.rewards import Rewards


@dataclass(frozen=True, slots=True)
class SuiteEntry:
    """title: in reports. help: of the flag, what is measured and which rows."""

    title: str
    help: str


SUITES: Mapping[str, SuiteEntry] = {
    "processbench": SuiteEntry("ProcessBench", "find the first wrong step; rows of ProcessBench"),
    "prmbench": SuiteEntry("PRMBench", "nine kinds of errors; rows of PRMBench"),
    "best_of_n": SuiteEntry("Best of n", "choose among candidates; input or output of `stepscore rerank`"),
    "steps": SuiteEntry("Labelled steps", "AUROC, calibration, reward hacking; rows with labels per step"),
}
"""By kind, in the order of the report. Light: the command line reads it before anything is imported."""


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """What the command line says about suites. threshold: None for the model's own. tune_on: a file of ProcessBench.

    outcome: opens the outcome model, if one is to be compared with.
    """

    threshold: float | None = None
    tune_on: str = ""
    split: str = "auto"
    probes: bool = True
    with_bias: bool = False
    outcome: Callable[[], Rewards] | None = None


def build_suite(kind: str, options: SuiteOptions) -> Suite:
    suite: Suite = import_module(f"stepscore_service.jobs.evaluate.suites.{kind}").build(options)
    return suite


def sections_of(suites: Mapping[str, Measured]) -> list[Section]:
    """What the report says of each suite that was run, in the order of the suites."""
    found: list[Section] = []
    for kind in SUITES:
        if kind in suites:
            found += import_module(f"stepscore_service.jobs.evaluate.report.{kind}").sections(suites[kind])
    return found
