"""`import stepscore`: its public names, loaded when they are used; a reading shows itself in a notebook."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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
        (stepscore.Solution(7, ("a",)), "problem of entry 0 is a int, not a text"),  # type: ignore[arg-type]
        ([SOLUTION, stepscore.Solution("p", ("a", None))], "step 1 of entry 1 is a NoneType"),  # type: ignore[arg-type]
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


def test_a_scorer_closes_at_the_end_of_its_block_and_then_says_so(tmp_path: Path) -> None:
    folder = checkpoints.qwen_math(tmp_path / "tiny")
    with stepscore.open_scorer(str(folder), options=CPU) as scorer:
        assert len(scorer.score(SOLUTION).rewards) == 2
    with pytest.raises(stepscore.StepscoreError, match="was closed; open it again"):
        scorer.score(SOLUTION)
    scorer.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dtype": "float8"}, "no dtype is called 'float8'; there are auto, float32, bfloat16"),
        ({"device": "tpu"}, "no device is called 'tpu'"),
        ({"mode": "quick"}, "no mode is called 'quick'; there are fast, invariant, reference"),
        ({"compile": True}, "no compile is called True"),
        ({"dtype": ["bf16"]}, "no dtype is called \\['bf16'\\]"),
        ({"max_tokens": -1}, "max_tokens is -1; it cannot be below 0"),
        ({"kv_cache_bytes": -2}, "kv_cache_bytes is -2; it cannot be below -1"),
        ({"kv_cache_bytes": 1e9}, "kv_cache_bytes is 1000000000.0; it must be a whole number"),
        ({"kv_cache_bytes": "1G"}, "kv_cache_bytes is '1G'; it must be a whole number"),
        ({"max_batch_tokens": True}, "max_batch_tokens is True; it must be a whole number"),
        ({"threads": "2"}, "threads is '2'; it must be a whole number"),
        ({"max_batch_tokens": 2 << 20}, "max_batch_tokens is 2097152; it cannot be above 1048576"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size is 0; it cannot be below 1"),
        ({"max_quantize_error": -1.0}, "max_quantize_error is -1.0; it must be a number above 0"),
        ({"max_quantize_error": math.nan}, "max_quantize_error is nan"),
        ({"max_quantize_error": "x"}, "max_quantize_error is 'x'"),
    ],
)
def test_an_option_that_does_not_exist_is_refused_where_it_is_written(given: dict[str, Any], said: str) -> None:
    with pytest.raises(stepscore.StepscoreError, match=said):
        stepscore.EngineOptions(**given)


def test_short_names_of_number_formats_are_those_of_the_flags() -> None:
    assert stepscore.EngineOptions(dtype="bf16") == stepscore.EngineOptions(dtype="bfloat16")  # type: ignore[arg-type]
    assert stepscore.EngineOptions(dtype="fp32").dtype == "float32"  # type: ignore[arg-type]


@pytest.mark.parametrize(("temperature", "bias"), [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (1.0, math.inf)])
def test_a_calibration_that_scales_nothing_is_refused(temperature: float, bias: float) -> None:
    with pytest.raises(stepscore.StepscoreError, match="the temperature must be above 0"):
        stepscore.Calibration(temperature, bias)


def test_what_is_no_text_and_what_has_no_rewards_says_so() -> None:
    wrong: Any = None
    probability = stepscore.RewardRange("probability", 0.0, 1.0)
    with pytest.raises(TypeError, match="split takes a text; this is a NoneType"):
        stepscore.split(wrong)
    with pytest.raises(TypeError, match="model is a text; this is a NoneType"):
        stepscore.open_scorer(wrong)
    with pytest.raises(TypeError, match="engine is a text; this is a EngineOptions"):
        stepscore.open_scorer("embedded", engine=stepscore.EngineOptions())  # type: ignore[arg-type]
    for call in (stepscore.weakest_step, lambda rewards: stepscore.aggregate_all(rewards, probability)):
        with pytest.raises(ValueError, match="there are no rewards"):
            call([])
