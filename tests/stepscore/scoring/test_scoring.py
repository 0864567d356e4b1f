"""What a scorer reports about its model survives the way over the wire."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from stepscore.calibration import Calibration
from stepscore.scoring.protocol import ModelInfo
from stepscore.types import PROBABILITY, RangeKind, RewardRange

INFO = ModelInfo("m", "f", "r", PROBABILITY, "min", 0.5, "", 1000, 100, "stub", "cpu", "float32", "fast")

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
ranges = st.builds(
    RewardRange,
    st.sampled_from(get_args(RangeKind)),
    st.one_of(finite, st.just(-math.inf)),
    st.one_of(finite, st.just(math.inf)),
)
changes = st.fixed_dictionaries(
    {"reward_range": ranges, "threshold": finite},
    optional={"calibration": st.builds(Calibration, positive, finite, st.text()), "quantize_error": finite},
)


@given(changes)
def test_the_facts_of_a_model_are_json_and_come_back_the_same(changed: dict[str, Any]) -> None:
    info = replace(INFO, **changed)
    sent = json.dumps(info.as_dict(), allow_nan=False)
    assert ModelInfo.from_dict(json.loads(sent)) == info
