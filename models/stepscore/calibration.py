"""Temperature scaling: rewards that are probabilities, moved so that they mean what they say (arXiv 1706.04599)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stepscore.errors import InvalidOption
from stepscore.types import Reading, RewardRange


@dataclass(frozen=True, slots=True)
class Calibration:
    """reward -> sigmoid(logit(reward) / temperature + bias); 0 and 1 stay. revision: the weights it was fitted on.

    It keeps the order of rewards. An empty revision fits any weights. Raises InvalidOption if the temperature is not
    above 0, or if one of the numbers is not finite.
    """

    temperature: float = 1.0
    bias: float = 0.0
    revision: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0 and math.isfinite(self.bias)):
            message = f"temperature {self.temperature}, bias {self.bias}: the temperature must be above 0, both finite"
            raise InvalidOption(message, option="calibration", known=[])

    def apply(self, rewards: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """rewards: probabilities."""
        with np.errstate(divide="ignore", over="ignore"):
            p = np.asarray(rewards, dtype=np.float64)
            z = (np.log(p) - np.log1p(-p)) / self.temperature + self.bias
            return np.asarray(1.0 / (1.0 + np.exp(-z)), dtype=np.float64)

    def check(self, range_: RewardRange, revision: str) -> None:
        """Raises InvalidOption if these rewards are not probabilities, or it was fitted on other weights."""
        if range_.kind != "probability":
            raise InvalidOption(
                f"a temperature needs rewards that are probabilities; this model's are of kind {range_.kind}",
                option="temperature",
                known=["probability"],
            )
        if self.revision and self.revision != revision:
            raise InvalidOption(
                f"the calibration was fitted on revision {self.revision}, the model is {revision}; fit it again",
                option="calibration",
                known=[revision],
            )


def calibrate(reading: Reading, calibration: Calibration | None) -> Reading:
    """The reading with its rewards scaled; its logits and extras stay as the model gave them."""
    if calibration is None:
        return reading
    return replace(reading, rewards=tuple(map(float, calibration.apply(reading.rewards))))


def read_calibration(file: Path) -> Calibration:
    """The `calibration.json` that `stepscore evaluate` writes. Raises InvalidOption if it is none."""
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
        found = Calibration(float(row["temperature"]), float(row.get("bias", 0.0)), str(row.get("revision", "")))
    except InvalidOption as error:
        raise InvalidOption(f"{file}: {error.message}", option="calibration", known=[]) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidOption(f"{file} is not a calibration file: {error}", option="calibration", known=[]) from error
    return found
