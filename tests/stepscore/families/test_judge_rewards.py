"""The judges' arithmetic against plain transformers on a random model, which never writes a verdict."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from judge_case import CPU, GREEDY, PROBLEM, SOLUTION, STEPS
from reference import judges as reference
from stepscore.families import r_prm
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading, Solution

R_PRM_FILE = r_prm.INSTRUCTION + "Question: {}\nPrevious Steps: {}\nNow Step: {}" + r_prm.ENDING


def test_r_prms_prompt_is_the_authors_file() -> None:
    """GenPRM-evaluate-new3-qwen.txt of NJUNLP/R-PRM at commit a5fa6751, byte for byte."""
    digest = "020647b468fd1fb0ecd955d349f1f2cbcc33477da09110c4a7ef85d5856865ca"
    assert hashlib.sha256(R_PRM_FILE.encode()).hexdigest() == digest


def test_r_prm_equals_the_authors_procedure(qwen: Path) -> None:
    options = GREEDY | {"n": "2", "top_p": "1"}
    scorer = open_scorer(str(qwen), family="r_prm", options=CPU, family_options=options)
    plain = [step.replace("Step 2: ", "").replace(" <|im_end|>", "") for step in STEPS]
    (found,) = scorer.score([Solution(PROBLEM, tuple(plain))])
    assert isinstance(found, Reading), found
    expected = reference.r_prm(qwen, PROBLEM, plain, R_PRM_FILE, 12)
    assert found.rewards == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 1e-3
    assert found.extras["spread"] == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
    assert all(text.endswith("Is the answer correct (Yes/No)?") for text in found.rationales)


@pytest.mark.parametrize(("kind", "bos"), [("qwen", "once"), ("r1", "once"), ("r1", "twice")])
@pytest.mark.parametrize("process_verifier", [True, False])
def test_think_prm_equals_the_authors_procedure(
    request: pytest.FixtureRequest, kind: str, bos: str, process_verifier: bool
) -> None:
    folder: Path = request.getfixturevalue(kind)
    options = GREEDY | {"bos": bos, "process_verifier": str(process_verifier).lower()}
    scorer = open_scorer(str(folder), family="think_prm", options=CPU, family_options=options)
    plain = [step.replace(" <|im_end|>", "") for step in STEPS]
    (found,) = scorer.score([Solution(PROBLEM, tuple(plain))])
    assert isinstance(found, Reading), found
    expected = reference.think_prm(
        folder, PROBLEM, plain, 12, process_verifier=process_verifier, special=bos == "twice"
    )
    assert found.rewards == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 1e-3


@pytest.mark.parametrize("kind", ["qwen", "r1"])
def test_gen_prm_writes_what_the_authors_procedure_writes(request: pytest.FixtureRequest, kind: str) -> None:
    folder: Path = request.getfixturevalue(kind)
    options = {"temperature": "0", "max_tokens": "90", "no_verdict": "half"}
    scorer = open_scorer(str(folder), family="gen_prm", options=CPU, family_options=options)
    plain = tuple(STEPS[:2])
    (found,) = scorer.score([Solution(PROBLEM, plain)])
    assert isinstance(found, Reading), found
    assert list(found.rationales) == reference.gen_prm_critiques(folder, PROBLEM, list(plain), 90)
    assert found.rewards == (0.5, 0.5)


def test_the_same_seed_gives_the_same_scores(qwen: Path) -> None:
    def rewards(seed: str) -> tuple[float, ...]:
        options = {"n": "2", "max_tokens": "8", "seed": seed}
        scorer = open_scorer(str(qwen), family="think_prm", options=CPU, family_options=options)
        (found,) = scorer.score([SOLUTION])
        assert isinstance(found, Reading), found
        assert max(found.extras["spread"]) > 0.0
        return found.rewards

    assert rewards("5") == rewards("5")
    assert rewards("5") != rewards("6")
