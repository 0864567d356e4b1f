"""docs/adding-a-family.md works as it stands: its code, installed by its entry point, scores."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import checkpoints_causal
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions
from stepscore.errors import MarkerInText
from stepscore.family.registry import explain, families, family_named
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading, Solution

PAGE = (Path(__file__).parents[3] / "docs" / "adding-a-family.md").read_text(encoding="utf-8")
CPU = EngineOptions(device="cpu", dtype="float32")
PROBLEM, STEPS = "How many?\n", ("3 + 4 = 7.\n\nSo 7.", "7 + 1 = 8 √é")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The distribution as pip leaves it: the module and its metadata on the path."""
    project = tomllib.loads(block("toml"))["project"]
    (tmp_path / "correct_prm.py").write_text(block("python"), encoding="utf-8")
    metadata = tmp_path / f"correct_prm-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    families.cache_clear()
    yield
    families.cache_clear()
    sys.modules.pop("correct_prm", None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints_causal.causal(tmp_path_factory.mktemp("family") / "Correct-PRM-tiny", kind="llama")


def expected_rewards(folder: Path) -> list[float]:
    """The example's text read with plain transformers, one prefix at a time."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    yes, no = (tokenizer.encode(answer, add_special_tokens=False)[-1] for answer in (" Yes", " No"))
    ids = tokenizer.encode(PROBLEM)
    rewards = []
    for step in STEPS:
        ids += tokenizer.encode("\n" + step, add_special_tokens=False)
        ids += tokenizer.encode("\nCorrect?\n", add_special_tokens=False)
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1]
        rewards.append(torch.softmax(logits[[yes, no]], dim=-1)[0].item())
    return rewards


def test_the_example_scores(installed: None, folder: Path) -> None:
    scorer = open_scorer(str(folder), options=CPU)
    assert scorer.info.family == "correct_prm"
    (reading,) = scorer.score([Solution(PROBLEM, STEPS)])
    assert isinstance(reading, Reading), reading
    assert reading.rewards == pytest.approx(expected_rewards(folder), abs=1e-5)
    with pytest.raises(MarkerInText):
        scorer.encode(Solution(PROBLEM, ("Correct? Yes",)))


def test_the_example_joins_the_list(installed: None, folder: Path) -> None:
    assert family_named("correct_prm") in families()
    assert explain(read_facts(folder)).family is family_named("correct_prm")


def test_without_the_entry_point_it_is_not_there(folder: Path) -> None:
    assert "correct_prm" not in {family.name for family in families()}
    assert explain(read_facts(folder)).family is None
