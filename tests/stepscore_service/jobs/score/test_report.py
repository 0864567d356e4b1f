"""`stepscore report`: what the page counts and shows; nothing of a text becomes markup."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cli_case import invoke, write
from stepscore_service.jobs.score.report.numbers import OTHERS, ReportNumbers
from stepscore_service.jobs.score.report.page import report_page
from stepscore_service.jobs.score.report.plots import histogram


def scored_row(line: int, rewards: list[float], **more: Any) -> dict[str, Any]:
    """A row as `stepscore score` writes it."""
    below = [place for place, reward in enumerate(rewards) if reward < 0.5]
    return {
        "id": f"n{line}",
        "problem": f"Problem {line}?",
        "steps": [f"step {place} of {line}" for place in range(len(rewards))],
        "line": line,
        "rewards": rewards,
        "score": min(rewards),
        "aggregate": "min",
        "aggregates": {"min": min(rewards), "mean": sum(rewards) / len(rewards)},
        "weakest_step": rewards.index(min(rewards)),
        "first_error": below[0] if below else None,
        "model": "tiny",
        "revision": "abc",
        "dtype": "float32",
        **more,
    }


ROWS = [
    scored_row(1, [0.9, 0.8], is_correct=True),
    scored_row(2, [0.7, 0.1, 0.3], is_correct=False),
    scored_row(3, [0.6], is_correct=True),
    {"line": 4, "error": {"code": "too_long", "message": "m", "detail": {}}},
]


def count_rows(rows: list[dict[str, Any]], by: str = "") -> ReportNumbers:
    numbers = ReportNumbers(by)
    for row in rows:
        numbers.add(row)
    return numbers


def test_numbers_are_those_of_the_rows() -> None:
    numbers = count_rows(ROWS, "is_correct")
    whole = numbers.whole()
    assert (numbers.rows, len(whole.scores), sum(whole.lengths)) == (4, 3, 6)
    assert whole.mean == pytest.approx((0.8 + 0.1 + 0.6) / 3)
    assert (whole.first_errors, dict(numbers.errors)) == (1, {"too_long": 1})
    assert {name: len(each.scores) for name, each in numbers.groups.items()} == {"true": 2, "false": 1}
    assert numbers.groups["false"].by_tenth[5] == [1, pytest.approx(0.1)]
    assert [each.name for each in numbers.worst] == ["line 2 · id n2", "line 3 · id n3", "line 1 · id n1"]


def test_only_the_twenty_worst_are_held_and_small_groups_are_joined() -> None:
    numbers = count_rows([scored_row(n, [n / 100], level=n % 8) for n in range(1, 65)], "level")
    assert [each.score for each in numbers.worst] == [n / 100 for n in range(1, 21)]
    assert list(numbers.shown_groups())[-1] == OTHERS
    assert sum(len(each.scores) for each in numbers.shown_groups().values()) == 64


def test_the_page_shows_numbers_plots_and_coloured_steps(tmp_path: Path) -> None:
    file = write(tmp_path / "a.scored.jsonl", ROWS)
    result = invoke("report", file)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "a.scored.report.html").read_text()
    assert page.count("<svg") == 3
    assert "By is_correct" in page
    assert "66.7%" not in page
    assert "33.3%" in page
    assert "1 too_long" in page
    assert "tiny · revision abc · float32" in page
    assert len(re.findall(r'<li style="--shade:\d+,\d+,\d+">', page)) == 6
    assert page.count("<em>first error</em>") == 1
    assert not re.search(r"(src|href)=|https?://", page)
    assert "@" not in re.sub(r"@media", "", page)


def test_texts_are_texts() -> None:
    odd = "<script>alert(1)</script> @WORST@ & <b>"
    page = report_page(count_rows([scored_row(1, [0.5], problem=odd, steps=[odd], level=odd)], "level"), odd)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; @WORST@ &amp; &lt;b&gt;") >= 4


def test_candidates_of_a_reranked_file_are_solutions(tmp_path: Path, folder: Path) -> None:
    rows = [{"problem": "2+3?", "candidates": ["It is 5.", ["So", "6."]], "correct": [True, False]}]
    invoke("rerank", write(tmp_path / "in.jsonl", rows), "--model", f"tiny={folder}", "--engine", "fake")
    assert invoke("report", tmp_path / "in.reranked.jsonl").exit_code == 0
    page = (tmp_path / "in.reranked.report.html").read_text()
    assert "By correct" in page
    assert "line 1 · candidate 0" in page
    assert "first error" not in page  # rerank applies no threshold, so a share of 0% would be made up
    assert "It is 5." in page


def test_slim_results_are_shown_without_texts(tmp_path: Path, folder: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"problem": "secret", "steps": ["hidden"]}])
    invoke("score", source, "--slim", "--model", f"tiny={folder}", "--engine", "fake")
    assert invoke("report", tmp_path / "in.scored.jsonl", "--out", tmp_path / "r.html").exit_code == 0
    page = (tmp_path / "r.html").read_text()
    assert ("secret" in page, "hidden" in page, "<li" in page) == (False, False, True)


@pytest.mark.parametrize(
    ("rows", "arguments", "said"),
    [
        ([{"problem": "p", "steps": ["a"]}], [], "line 1: 'rewards' is missing: give what"),
        ([ROWS[0], {**ROWS[0], "score": "high"}], [], "line 2: 'score' is text, not a number"),
        ([ROWS[3]], [], "no row has a result; 1 have an error"),
        (ROWS, ["--by", "level"], "no row has the column 'level'"),
        ([], [], "holds no rows"),
    ],
)
def test_what_cannot_be_drawn_says_why(
    tmp_path: Path, rows: list[dict[str, Any]], arguments: list[str], said: str
) -> None:
    result = invoke("report", write(tmp_path / "in.jsonl", rows), *arguments)
    assert (result.exit_code, said in result.output) == (2, True), result.output
    assert not list(tmp_path.glob("*.html"))


def test_rewards_that_are_not_probabilities_are_drawn_too() -> None:
    page = report_page(count_rows([scored_row(1, [-3.0, 4.0]), scored_row(2, [1.0])]), "t")
    assert page.count("<svg") == 3
    assert "nan" not in page


def test_every_number_is_in_one_bar() -> None:
    drawn = histogram({"": [0.0, 0.049, 0.5, 1.0]}, [place / 20 for place in range(21)], "x")
    shares = [float(share) for share in re.findall(r"<title>([\d.]+)%", drawn)]
    assert [(place, share) for place, share in enumerate(shares) if share] == [(0, 50.0), (10, 25.0), (19, 25.0)]


def test_rows_may_have_different_aggregates(tmp_path: Path) -> None:
    """Files of two aggregates put together: each curve is drawn from the rows that have its aggregate."""
    rows = [ROWS[0] | {"aggregates": {"min": 0.1}}, ROWS[0] | {"aggregates": {"mean": 0.7, "min": 0.2}}]
    result = invoke("report", write(tmp_path / "in.jsonl", rows), "--out", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text()
    assert ">1.4</text>" not in page  # lengths are counts
    assert "<title>2: 0.1500</title>" in page
    assert "<title>2: 0.7000</title>" in page
