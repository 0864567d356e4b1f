from functools import partial

import checkpoints_value_heads as checkpoints
from family_case import FamilyCase
from reference import pqm as reference


def case(name: str, prompt: str) -> FamilyCase:
    return FamilyCase(
        name,
        "pqm",
        checkpoints.pqm,
        partial(reference.step_rewards, prompt=prompt),
        options={"prompt": prompt} if prompt != "evaluation" else {},
        special_marker="[PRM]",
    )


CASES = [
    case("pqm", "evaluation"),
    case("pqm-training", "training"),
    case("pqm-compute-optimal", "compute_optimal_tts"),
    case("pqm-compute-optimal-space", "compute_optimal_tts_space"),
]
