"""`import stepscore`: its public names, loaded when they are used; a reading shows itself in a notebook."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import checkpoints
import stepscore
from loading_case import CPU
from stepscore.errors import EmptyStep

SOLUTION = stepscore.Solution("2+3?", ("2+3 = 5", "So <b>6</b> & more."))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> stepscore.Scoring:
    folder = checkpoints.qwen_math(tmp_path_factory.mktemp("public") / "tiny")
    return stepscore.open_scorer(str(folder), options=CPU)


def test_every_public_name_is_there_and_is_named_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    assert [name for name in stepscore.__all__ if getattr(stepscore, name, None) is None] == []
    assert [name for name in stepscore.__all__ if f"`{name}" not in page] == []
    assert set(stepscore.__all__) <= set(dir(stepscore))
    with pytest.raises(AttributeError, match="no attribute 'scorer_of'"):
        stepscore.scorer_of  # noqa: B018


def test_importing_it_loads_no_torch() -> None:
    code = (
        "import sys, stepscore\nstepscore.Solution('p', ('s',))\nstepscore.StepscoreError\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'heavy'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_one_solution_gives_its_reading_and_many_a_list(scorer: stepscore.Scoring) -> None:
    one = scorer.score(SOLUTION)
    assert len(one.rewards) == 2
    (first, second) = scorer.score([SOLUTION, stepscore.Solution("p", (" ",))])
    assert isinstance(first, stepscore.Reading)
    assert first.rewards == pytest.approx(one.rewards, abs=1e-5)
    assert isinstance(second, EmptyStep)
    with pytest.raises(EmptyStep):
        scorer.score(stepscore.Solution("p", (" ",)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("2+3?", "this is a str"),
        (None, "this is a NoneType"),
        (["2+3?"], "entry 0 is a str"),
        ([SOLUTION, ("p", ("a",))], "entry 1 is a tuple"),
        ([stepscore.Solution("p", "steps as one text")], "those of entry 0 are one text"),  # type: ignore[arg-type]
        (stepscore.Solution("p", "steps as one text"), "are one text"),  # type: ignore[arg-type]
    ],
)
def test_anything_else_is_a_type_error_that_says_what_to_give(
    scorer: stepscore.Scoring, given: object, said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        scorer.score(given)  # type: ignore[call-overload]


def test_a_reading_shows_its_steps_in_a_notebook(scorer: stepscore.Scoring) -> None:
    reading = scorer.score(SOLUTION)
    html = reading._repr_html_()
    assert html.count("<tr>") == 2
    assert "So &lt;b&gt;6&lt;/b&gt; &amp; more." in html
    assert re.findall(r"<b>([\d.]+)</b>", html) == [f"{reward:.4f}" for reward in reading.rewards]
    assert stepscore.Reading((0.0, 1.0))._repr_html_().count("rgb(235,0,60)") == 2
    assert stepscore.Reading((0.0, 1.0))._repr_html_().count("rgb(0,190,60)") == 2
