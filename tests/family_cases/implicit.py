from functools import partial
from pathlib import Path
from typing import Any

import checkpoints_causal as checkpoints
from family_case import FamilyCase
from reference import implicit


def case(name: str, family: str = "implicit", kind: str = "qwen2", **options: Any) -> FamilyCase:
    """A policy and a base model of other random weights; the reference builds the same base beside the policy."""
    base = partial(checkpoints.causal, kind=kind, seed=9)

    def reference(path: Path, problem: str, steps: list[str]) -> list[float]:
        beside = path.parent / f"{path.name}-base"
        return implicit.step_rewards(path, beside if beside.exists() else base(beside), problem, steps, **options)

    return FamilyCase(
        name,
        family,
        partial(checkpoints.causal, kind=kind),
        reference,
        options={"step_prefix" if key == "prefix" else key: str(value) for key, value in options.items()},
        prefix_stable=False,
        base=base,
    )


CASES = [
    case("eurusprm-stage1"),
    case("eurusprm-stage1-processbench", masking="processbench", coef=0.005, prefix="always"),
    case("eurusprm-stage1-single", values="single", prefix="never"),
    case("eurusprm-stage2", "implicit_stage2"),
    case("implicitprm-llama", kind="llama"),
]
