"""The authors' own scoring functions beside ours, run over checkouts (`make test-authors`) and stored for `make test`.

`AUTHORS` names a folder of checkouts, `FOLDER/owner/name`, at the commits in docs/families.md; `AUTHORS_PYTHON` the
interpreter of their environment. `--update-golden` stores what the authors' code gave.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from authors.comparisons import COMPARISONS, Comparison, ours
from authors.vocabularies import FOLDER
from stepscore.family.registry import families, family_named

Results = list[dict[str, list[Any]]]
DECIMALS = 9


@pytest.fixture(scope="module", params=COMPARISONS, ids=lambda comparison: comparison.id)
def comparison(request: pytest.FixtureRequest) -> Comparison:
    return request.param


@pytest.fixture(scope="module")
def base(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    folder = tmp_path_factory.mktemp("base") / comparison.id
    return comparison.checkpoint(folder, seed=9) if comparison.base else None


@pytest.fixture(scope="module")
def folder(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return comparison.checkpoint(tmp_path_factory.mktemp("checkpoint") / comparison.id)


@pytest.fixture(scope="module")
def found(comparison: Comparison, folder: Path, base: Path | None) -> Results:
    return ours(comparison, folder, base)


def stored(comparison: Comparison) -> Path:
    return FOLDER / f"{comparison.id}.json"


def check(found: Results, theirs: Results) -> float:
    """The largest difference of a reward. No ids: a pass that the author leaves out, having seen an error."""
    assert len(found) == len(theirs)
    for one, author in zip(found, theirs, strict=True):
        for ids, written in zip(one["ids"], author["ids"], strict=True):
            assert not written or same(ids, written)
        assert one["rewards"] == pytest.approx(author["rewards"], rel=1e-5, abs=1e-5)
    pairs = [
        pair
        for one, other in zip(found, theirs, strict=True)
        for pair in zip(one["rewards"], other["rewards"], strict=True)
    ]
    return max(abs(one - other) for one, other in pairs)


def rewards_of(comparison: Comparison) -> list[list[float]]:
    """What the authors' code gave for each solution."""
    return [one["rewards"] for one in json.loads(stored(comparison).read_text(encoding="utf-8"))["results"]]


def same(ids: list[int], written: list[int] | str) -> bool:
    """written: ids, after which an author may write more than is read; or their digest."""
    return digest(ids) == written if isinstance(written, str) else written[: len(ids)] == ids


def digest(ids: list[int]) -> str:
    return hashlib.sha256(repr(ids).encode()).hexdigest()[:16]


def test_the_rewards_are_those_that_the_authors_code_gave(comparison: Comparison, found: Results) -> None:
    check(found, json.loads(stored(comparison).read_text(encoding="utf-8"))["results"])


def test_the_stored_rewards_differ_from_step_to_step(comparison: Comparison) -> None:
    """Guards the comparison: on constant rewards it would always hold."""
    rewards = [reward for one in rewards_of(comparison) for reward in one]
    assert max(rewards) - min(rewards) > 1e-3


def test_what_the_families_name_is_what_is_run() -> None:
    named = {(family.name, one.repository, one.commit) for family in families() for one in family.compared}
    run = {(comparison.family, comparison.repository, comparison.commit) for comparison in COMPARISONS}
    stage_2 = {("implicit_stage2", repository, commit) for family, repository, commit in run if family == "implicit"}
    assert named - stage_2 == run


def test_a_family_that_names_no_outside_code_is_known_to_have_none() -> None:
    assert {family.name for family in families() if not family.compared} == {"number_logprob", "value_head"}


def test_no_comparison_passes_a_default_so_that_another_default_is_found(comparison: Comparison) -> None:
    defaults = {name: option.default for name, option in family_named(comparison.family).options.items()}
    assert not comparison.options.items() & defaults.items()


@pytest.mark.authors
def test_the_authors_code_gives_the_same(
    comparison: Comparison, folder: Path, base: Path | None, found: Results, request: pytest.FixtureRequest
) -> None:
    theirs = run(comparison, folder, base)
    difference = check(found, theirs)
    print(f"{comparison.id}: {len(theirs)} cases, largest difference {difference:.1e}")  # noqa: T201
    if request.config.getoption("--update-golden"):
        write(comparison, theirs)


def run(comparison: Comparison, folder: Path, base: Path | None) -> Results:
    checkouts = os.environ.get("AUTHORS")
    if not checkouts:
        pytest.fail("name a folder of checkouts: make test-authors AUTHORS=FOLDER")
    if not Path(checkouts, comparison.repository).is_dir():
        pytest.skip(f"{checkouts} holds no {comparison.repository}")
    asked = {
        "adapter": comparison.adapter,
        "checkouts": checkouts,
        "checkpoint": str(folder),
        "base": str(base) if base else None,
        "options": dict(comparison.theirs),
        "cases": list(comparison.solutions),
    }
    command = [os.environ.get("AUTHORS_PYTHON", ".venv-authors/bin/python"), "-m", "theirs"]
    environment = {"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    done = subprocess.run(
        command,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout))


def write(comparison: Comparison, theirs: Results) -> None:
    results = [one | {"rewards": [round(reward, DECIMALS) for reward in one["rewards"]]} for one in theirs]
    if family_named(comparison.family).judge:  # prompts of a thousand tokens
        results = [one | {"ids": [digest(ids) for ids in one["ids"]]} for one in results]
    text = {"repository": comparison.repository, "commit": comparison.commit, "results": results}
    stored(comparison).write_text(json.dumps(text, separators=(",", ":")) + "\n", encoding="utf-8")
