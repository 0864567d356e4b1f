"""Published numbers to compare with, in percent. Sources: arXiv 2501.07301 (table 7) and 2501.03124 (PRMBench)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PROCESSBENCH: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "Math-Shepherd-PRM-7B": {"gsm8k": 47.9, "math": 29.5, "olympiadbench": 24.8, "omnimath": 23.8},
        "Skywork-PRM-7B": {"gsm8k": 70.8, "math": 53.6, "olympiadbench": 22.9, "omnimath": 21.0},
        "Qwen2.5-Math-7B-PRM800K": {"gsm8k": 68.2, "math": 62.6, "olympiadbench": 50.7, "omnimath": 44.3},
        "Qwen2.5-Math-PRM-7B": {"gsm8k": 82.4, "math": 77.6, "olympiadbench": 67.5, "omnimath": 66.3},
        "Qwen2.5-Math-PRM-72B": {"gsm8k": 87.3, "math": 80.6, "olympiadbench": 74.3, "omnimath": 71.1},
    }
)
"""F1 on each whole split."""

PRMBENCH: Mapping[str, float] = MappingProxyType(
    {
        "Math-Shepherd-PRM-7B": 47.0,
        "Skywork-PRM-7B": 65.1,
        "Qwen2.5-Math-PRM-7B": 65.5,
        "Qwen2.5-Math-PRM-72B": 68.2,
    }
)
"""PRM-Score on all 6,216 items."""
