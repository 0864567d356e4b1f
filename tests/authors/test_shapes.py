"""PURE's own credit assignment beside ours: over a checkout (`make test-authors`), and stored for `make test`.

CJReinforce/PURE@41f9363 openrlhf/utils/utils.py:149-183. `--update-golden` stores what the authors' code gave.
"""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from stepscore.rewards.shaping import Shaping, shape_rewards

FILE = "CJReinforce/PURE/openrlhf/utils/utils.py"
FUNCTION = "turn_process_reward_logits_to_reward"
STORED = Path(__file__).parents[1] / "golden" / "authors" / "pure-min-form.json"
TEMPERATURES = (0.05, 0.1, 1.0)


def logits_of(steps: int) -> torch.Tensor:
    return torch.randn(steps, 2, generator=torch.Generator().manual_seed(steps)) * 3


CASES = [(steps, temperature) for steps in (1, 2, 5, 12) for temperature in TEMPERATURES]


def ours(steps: int, temperature: float) -> list[float]:
    probabilities_S2 = logits_of(steps).softmax(dim=-1)
    rewards = (probabilities_S2[:, 1] - probabilities_S2[:, 0]).tolist()
    return shape_rewards(rewards, 0.0, Shaping("min_form", temperature=temperature))


def theirs(steps: int, temperature: float) -> list[float]:
    """What the authors' function gives for a row in which every second position is the end of a step."""
    file = Path(os.environ["AUTHORS"], FILE)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == FUNCTION]
    names: dict[str, Any] = {"torch": torch}
    exec(compile(ast.Module(body, []), str(file), "exec"), names)
    logits_1T2, mask_1T = torch.full((1, 2 * steps, 2), 9.0), torch.zeros(1, 2 * steps, dtype=torch.bool)
    logits_1T2[0, 1::2], mask_1T[0, 1::2] = logits_of(steps), True
    found: torch.Tensor = names[FUNCTION](logits_1T2, mask_1T, temperature=temperature)
    return found[mask_1T].tolist()


@pytest.mark.parametrize("place", range(len(CASES)))
def test_min_form_is_what_the_authors_code_gave(place: int) -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))[place]
    assert stored["case"] == list(CASES[place])
    assert ours(*CASES[place]) == pytest.approx(stored["rewards"], abs=1e-5)


@pytest.mark.authors
def test_the_authors_min_form_gives_the_same(request: pytest.FixtureRequest) -> None:
    if not Path(os.environ.get("AUTHORS", ""), FILE).is_file():
        pytest.skip("no checkout of CJReinforce/PURE: make test-authors AUTHORS=FOLDER")
    found = [theirs(*case) for case in CASES]
    for case, rewards in zip(CASES, found, strict=True):
        assert ours(*case) == pytest.approx(rewards, abs=1e-5)
    if request.config.getoption("--update-golden"):
        rows = [{"case": list(case), "rewards": rewards} for case, rewards in zip(CASES, found, strict=True)]
        STORED.write_text(json.dumps(rows, separators=(",", ":")) + "\n", encoding="utf-8")
