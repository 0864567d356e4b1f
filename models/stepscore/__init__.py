"""The library: process reward models, read exactly as their authors read them.

The public names are imported when they are first used: `import stepscore` alone loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepscore.aggregate import AGGREGATES, aggregate_all, first_error, weakest_step
    from stepscore.calibration import Calibration
    from stepscore.config import EngineOptions
    from stepscore.errors import InvalidInput, StepscoreError
    from stepscore.scoring.open import open_scorer
    from stepscore.scoring.protocol import ModelInfo, Scoring
    from stepscore.text.segment import split
    from stepscore.types import Reading, RewardRange, Solution
    from stepscore.verify.answers import final_answer
    from stepscore.verify.equality import group_answers

_HOMES = {
    "aggregate": ("AGGREGATES", "aggregate_all", "first_error", "weakest_step"),
    "calibration": ("Calibration",),
    "config": ("EngineOptions",),
    "errors": ("InvalidInput", "StepscoreError"),
    "scoring.open": ("open_scorer",),
    "scoring.protocol": ("ModelInfo", "Scoring"),
    "text.segment": ("split",),
    "types": ("Reading", "RewardRange", "Solution"),
    "verify.answers": ("final_answer",),
    "verify.equality": ("group_answers",),
}
"""By module, the public names that it defines."""

__all__ = [
    "AGGREGATES",
    "Calibration",
    "EngineOptions",
    "InvalidInput",
    "ModelInfo",
    "Reading",
    "RewardRange",
    "Scoring",
    "Solution",
    "StepscoreError",
    "aggregate_all",
    "final_answer",
    "first_error",
    "group_answers",
    "open_scorer",
    "split",
    "weakest_step",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"stepscore.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
