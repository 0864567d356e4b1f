"""Text to steps: what each way must cut, what it must leave whole, and what holds for every text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.errors import NoSteps, UnknownSplit
from stepscore.text.segment import split

PIECES = [
    "Step 1: add", "step 2.", "**Step 3:**", "1. two", "2) three", "  3. four", "x = 3.5", "He paid $5", "$x. Y$", "$$",
    r"\[", r"\]", r"\begin{align}", r"\end{align}", r"\begin{b}", r"\end{b}", r"\\[2pt]", "```", "```python", "~~~",
    "e.g.", "Dr. Who", "So.", "Yes!", "no?", "。", "5!", ". ", "\n", "\n\n", "\r\n", " ", "\t", "\u2028", "\x1f", "é",
    "def f():", "    return 1", "else:", "@dec",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=25).map("".join)
ways = st.sampled_from(["auto", "lines", "paragraphs", "sentences", "numbered", "code"])
elementary = st.sampled_from(["lines", "paragraphs", "sentences", "numbered"])


def pieces(text: str, how: str = "auto") -> list[str]:
    return [step.text for step in split(text, how)]


@given(texts, ways)
def test_spans_ascend_and_hold_everything_but_white_space(text: str, how: str) -> None:
    if not text.strip():
        with pytest.raises(NoSteps):
            split(text, how)
        return
    at = 0
    for step in split(text, how):
        assert text[at : step.start].strip() == ""
        assert step.text == text[step.start : step.end] == step.text.strip() != ""
        at = step.end
    assert text[at:].strip() == ""


@given(texts, elementary)
def test_a_step_is_not_split_again(text: str, how: str) -> None:
    if text.strip():
        for step in split(text, how):
            assert pieces(step.text, how) == [step.text]


@given(texts, st.sampled_from([r"\n", ";", r"(?=Step \d)", r"\s*", "x?"]))
def test_a_regex_drops_only_its_matches(text: str, pattern: str) -> None:
    try:
        steps = split(text, f"regex:{pattern}")
    except NoSteps:
        return
    assert all(text[step.start : step.end] == step.text != "" for step in steps)
    assert [step.start for step in steps] == sorted({step.start for step in steps})


def test_numbered_takes_step_headings_with_all_that_belongs_to_them() -> None:
    text = "Let us see.\n\nStep 1: add\n  2. not a mark\n\nStep 2 gives 4\n### Step 3 – multiply\n**Step 4:** end"
    assert pieces(text) == [
        "Let us see.",
        "Step 1: add\n  2. not a mark\n\nStep 2 gives 4",
        "### Step 3 – multiply",
        "**Step 4:** end",
    ]


def test_numbered_lists_go_in_sequence_and_keep_inner_lists() -> None:
    text = "1. a\n   1. x\n   2. y\n2) b\n1.5 litres\n18. not the third\n3. c"
    assert pieces(text, "numbered") == ["1. a\n   1. x\n   2. y", "2) b\n1.5 litres\n18. not the third", "3. c"]


def test_auto_prefers_numbers_then_paragraphs_then_lines_then_sentences() -> None:
    assert pieces("Step 1: a\n\nb\nStep 2: c") == ["Step 1: a\n\nb", "Step 2: c"]
    assert pieces("Step 1: a\nb\n\nc") == ["Step 1: a\nb", "c"]
    assert pieces("A b. C d\ne") == ["A b. C d", "e"]
    assert pieces("A b. C d") == ["A b.", "C d"]


def test_sentences_leave_numbers_abbreviations_and_maths_whole() -> None:
    text = (
        "It takes 3.5 h, i.e. 210 min. Dr. Smith (U.S. Army) pays $5. She keeps $6! See Fig. 3 and No. 5. "
        "5! = 120 holds. Then $x. Y = 5.$ Is it? So \\(a. B\\) ends. 答案是三。对。"
    )
    assert pieces(text, "sentences") == [
        "It takes 3.5 h, i.e. 210 min.",
        "Dr. Smith (U.S. Army) pays $5.",
        "She keeps $6!",
        "See Fig. 3 and No. 5.",
        "5! = 120 holds.",
        "Then $x. Y = 5.$",
        "Is it?",
        "So \\(a. B\\) ends.",
        "答案是三。",
        "对。",
    ]


@pytest.mark.parametrize("how", ["auto", "lines", "paragraphs"])
@pytest.mark.parametrize(
    "block",
    [
        "```python\nx = 1\n\ny = 2\n```",
        "\\begin{align}\na\n\n\\begin{b}\n\\end{b}\n\nc\n\\end{align}",
        "~~~\na\n\nb\n~~~",
    ],
)
def test_fences_and_environments_stay_whole(how: str, block: str) -> None:
    assert pieces(f"First\n\n{block}\n\nLast", how) == ["First", block, "Last"]


def test_display_maths_stays_whole_in_lines() -> None:
    assert pieces("We have\n\\[\n x \\\\[2pt]\n\\]\n$$\ny\n$$\nso z", "lines") == [
        "We have",
        "\\[\n x \\\\[2pt]\n\\]",
        "$$\ny\n$$",
        "so z",
    ]


def test_a_stray_dollar_pair_binds_nothing_beyond_its_paragraph() -> None:
    assert pieces("He has $$ now\n\nand $$ later", "paragraphs") == ["He has $$ now", "and $$ later"]


def test_an_unclosed_fence_is_one_step_to_the_end() -> None:
    assert pieces("Code:\n```python\nx = 1\n\ny = 2", "paragraphs") == ["Code:\n```python\nx = 1\n\ny = 2"]
    assert pieces("Code:\n```python\nx = 1\n\ny = 2", "lines") == ["Code:", "```python\nx = 1\n\ny = 2"]


def test_code_goes_by_fences_then_blank_lines_then_statements() -> None:
    assert pieces("Intro\n```py\nx\n\ny\n```\nmore\n\nend", "code") == ["Intro", "```py\nx\n\ny\n```", "more", "end"]
    function = "def f(x):\n    y = x\n\n    return y"
    assert pieces(f"{function}\n\nif f(1):\n    a()\n\nelse:\n    b()", "code") == [
        function,
        "if f(1):\n    a()\n\nelse:\n    b()",
    ]
    assert pieces("x = 1\nif x:\n    y\nelse:\n    z\n@dec\ndef g(\n    a,\n):\n    pass", "code") == [
        "x = 1",
        "if x:\n    y\nelse:\n    z",
        "@dec\ndef g(\n    a,\n):\n    pass",
    ]


def test_a_regex_may_match_nothing_and_cut_there() -> None:
    assert pieces("Step 1 a Step 2 b", r"regex:(?=Step \d)") == ["Step 1 a", "Step 2 b"]
    assert pieces(" a ;; b;;", "regex:;;") == ["a", "b"]


@pytest.mark.parametrize("how", ["regex:(", "words", "", "regex:" + "a" * 501])
def test_a_way_that_does_not_exist_says_why(how: str) -> None:
    with pytest.raises(UnknownSplit) as caught:
        split("a b", how)
    assert "split" in caught.value.detail
    assert len(caught.value.message) > 30


def test_a_pattern_that_never_ends_is_stopped() -> None:
    started = time.monotonic()
    with pytest.raises(UnknownSplit, match="nested repeats"):
        split("a" * 5000 + "!", r"regex:(a|aa|b)+(c|a)+\d$")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_nothing_to_split_is_an_error(text: str) -> None:
    with pytest.raises(NoSteps):
        split(text)


@pytest.mark.parametrize("unit", ["\\begin{a}", "\\[", "$$", "$x ", "1. ", "```\n", "\r\n \r\n", ". ", "\n"])
def test_splitting_is_linear_in_hostile_text(unit: str) -> None:
    started = time.monotonic()
    split(unit * (100_000 // len(unit)) + "x")
    assert time.monotonic() - started < 10
