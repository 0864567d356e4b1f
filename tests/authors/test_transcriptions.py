"""The transcriptions in tests/reference give the numbers that the authors' own code gave.

What a family's contract test repeats on other checkpoints is thus the author's procedure, not a reading of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from authors.comparisons import ACEMATH, COMPARISONS, Comparison
from authors.test_authors import rewards_of
from authors.vocabularies import FOLDER
from reference import (
    act_prm,
    armo_rm,
    fover,
    implicit,
    outcome,
    path_finder,
    pqm,
    prime,
    pure,
    qwen_math,
    reason_eval,
    reasonflux,
    rlhflow,
    skywork,
    tagged,
    token_classification,
)

Transcription = Callable[[Path, str, list[str]], list[float]]

TRANSCRIPTIONS: dict[str, Transcription] = {
    "act_prm": act_prm.step_rewards,
    "acemath_rm": partial(outcome.sequence_classification, system=ACEMATH),
    "armo_rm": armo_rm.step_rewards,
    "er_prm": tagged.er_prm,
    "fover-llama": fover.step_rewards,
    "fover-qwen": fover.step_rewards,
    "math_psa": tagged.math_psa,
    "math_shepherd": tagged.math_shepherd,
    "orm_sequence_classification-llama": outcome.sequence_classification,
    "orm_sequence_classification-qwen": outcome.sequence_classification,
    "path_finder": path_finder.step_rewards,
    "pqm": pqm.step_rewards,
    "pqm-training": partial(pqm.step_rewards, prompt="training"),
    "pure": partial(pure.step_rewards, separator="\n\n"),
    "qwen_math": qwen_math.step_rewards,
    "qwen_math_rm": outcome.qwen_math_rm,
    "reason_eval-34b": partial(reason_eval.validity, model_size="34B"),
    "reason_eval-7b": partial(reason_eval.validity, model_size="7B"),
    "reasonflux": reasonflux.step_rewards,
    "rlhflow": rlhflow.step_rewards,
    "rlhflow-vocabulary": partial(rlhflow.step_rewards, whole_vocabulary=True),
    "skywork": skywork.step_rewards,
    "token_classification-llama": token_classification.step_rewards,
    "token_classification-named-bos": token_classification.step_rewards,
    "token_classification-qwen": token_classification.step_rewards,
    "versa_prm-llama": tagged.versa_prm,
    "versa_prm-qwen": tagged.versa_prm,
}
IMPLICIT: dict[str, dict[str, Any]] = {
    "implicit-qwen": {},
    "implicit-qwen-processbench": {"masking": "processbench", "coef": 0.005},
    "implicit-llama": {},
    "implicit-llama-single": {"values": "single"},
}
SOLUTIONS = slice(4, 7)
"""Of each comparison: LaTeX, text that is not ASCII, line breaks in steps, white space at their ends."""


def named(name: str) -> Comparison:
    return next(comparison for comparison in COMPARISONS if comparison.id == name)


def check(comparison: Comparison, folder: Path, transcribed: Transcription) -> None:
    cases = zip(comparison.solutions[SOLUTIONS], rewards_of(comparison)[SOLUTIONS], strict=True)
    for (problem, steps), rewards in cases:
        assert transcribed(folder, problem, list(steps)) == pytest.approx(rewards, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", TRANSCRIPTIONS)
def test_a_transcription_gives_what_the_authors_code_gave(name: str, tmp_path: Path) -> None:
    comparison = named(name)
    check(comparison, comparison.checkpoint(tmp_path / name), TRANSCRIPTIONS[name])


@pytest.mark.parametrize("name", IMPLICIT)
def test_the_transcription_of_implicit_rewards_gives_what_the_authors_code_gave(name: str, tmp_path: Path) -> None:
    comparison = named(name)
    base = comparison.checkpoint(tmp_path / "base", seed=9)

    def transcribed(folder: Path, problem: str, steps: list[str]) -> list[float]:
        return implicit.step_rewards(folder, base, problem, steps, **IMPLICIT[name])

    check(comparison, comparison.checkpoint(tmp_path / name), transcribed)


def test_the_formulas_of_prime_give_what_primes_own_functions_gave() -> None:
    theirs = json.loads((FOLDER / "prime.json").read_text(encoding="utf-8"))
    rows, outcomes = theirs["rows"], theirs["outcomes"]
    assert prime.cross_entropy(rows, outcomes, theirs["beta"]) == pytest.approx(theirs["loss"])
    scaled = prime.normalised(rows)
    returns = prime.returns(scaled, outcomes, theirs["samples"])
    found = {"scaled": scaled, "returns": returns, "advantages": prime.whitened(returns)}
    for key, lists in found.items():
        assert lists == [pytest.approx(row, abs=1e-6) for row in theirs[key]], key
