"""Text to steps: what each way must cut, what it must leave whole, and what holds for every text."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stepscore.errors import NoSteps, UnknownSplit
from stepscore.text.layout import find_layout, leave_out, unify_breaks
from stepscore.text.segment import split

PIECES = [
    "Step 1: add", "step 2.", "**Step 3:**", "1. two", "2) three", "  3. four", "x = 3.5", "He paid $5", "$x. Y$", "$$",
    r"\[", r"\]", r"\begin{align}", r"\end{align}", r"\begin{b}", r"\end{b}", r"\\[2pt]", "```", "```python", "~~~",
    "e.g.", "Dr. Who", "So.", "Yes!", "no?", "。", "5!", ". ", "\n", "\n\n", "\r\n", " ", "\t", "\u2028", "\x1f", "é",
    "def f():", "    return 1", "else:", "@dec",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=25).map("".join)
ways = st.sampled_from(["auto", "lines", "paragraphs", "sentences", "numbered", "code"])


def pieces(text: str, how: str = "auto") -> list[str]:
    return [step.text for step in split(text, how)]


@given(texts, ways)
def test_spans_ascend_and_hold_everything_but_white_space(text: str, how: str) -> None:
    try:
        steps = split(text, how)
    except NoSteps:
        unified = unify_breaks(text).text
        assert leave_out(unified, find_layout(unified)).text.strip() == ""
        return
    at = 0
    for step in steps:
        assert text[at : step.start].strip() == ""
        assert step.text == step.text.strip() != ""
        assert re.sub(r"\r\n?", "\n", text[step.start : step.end]).startswith(step.text[0]) or find_layout(text)
        at = step.end
    assert text[at:].strip() == ""


@given(texts, ways)
def test_a_step_is_what_its_span_holds_without_layout(text: str, how: str) -> None:
    assume(how != "code" and not find_layout(unify_breaks(text).text) and text.strip())
    for step in split(text, how):
        assert step.text == re.sub(r"\r\n?", "\n", text[step.start : step.end])


@given(texts, ways | st.sampled_from([r"regex:\n\n", "regex:;"]))
def test_line_breaks_of_windows_change_nothing(text: str, how: str) -> None:
    text = text.replace("\r", "")
    assume(text.strip())
    assert outcome(text.replace("\n", "\r\n"), how) == outcome(text, how)


def outcome(text: str, how: str) -> list[str]:
    try:
        return pieces(text, how)
    except NoSteps:
        return []


LAYOUT = [
    "---", "***", "___", "===", "* * *", "-----", "———", "<think>", "</think>", "<answer>", "</answer>", "[THINK]",
    "### Solution", "# Step-by-Step Solution", "## Final Answer:", "**Final Answer**", "**Solution:**", "__Answer__",
    "### Explanation", "#### Let's break it down", "**Setting up the equations**", r"\section*{Proof}",
    r"\textbf{Solution}",
    "## Lösung", "### 解答", "**Решение**", "### ✅ Verification",
    "Solution:", "Solution", "The final answer:", "Step-by-step solution:", "Explanation", "Proof:", "Ответ:", "解：",
    r"\hline", r"\midrule", "Solution\n=====", "**Solution**\n=====", "Answer:\n-----",
]  # fmt: skip
paragraphs = st.lists(
    st.sampled_from(
        ["We add 3 and 4.", "So x = 7.\nThen y = 8.", "Step 1: add.", "Step 2: go on.", "1. Take 3.", "2. Take 4.",
         "- a\n- b",
         "| a | b |\n|---|---|\n| 1 | 2 |", "\\[\nx\n\\]", "```\ncode\n\n---\n```", "**Case 1: x = 3**", "The end."]
    ),
    min_size=2,
    max_size=8,
)  # fmt: skip


@given(paragraphs, st.data(), st.sampled_from(["auto", "paragraphs", "sentences", "numbered", "code", r"regex:\n\n"]))
def test_a_rule_a_tag_or_a_heading_of_general_words_changes_no_step(
    parts: list[str], data: st.DataObject, how: str
) -> None:
    at, line = data.draw(st.integers(0, len(parts))), data.draw(st.sampled_from(LAYOUT))
    assume(how != "code" or any("```" in part for part in parts))
    assume(how != r"regex:\n\n" or "```" not in "".join(parts))
    plain, decorated = "\n\n".join(parts), "\n\n".join([*parts[:at], line, *parts[at:]])
    assert pieces(decorated, how) == pieces(plain, how)


@given(paragraphs, ways, st.sampled_from(["\n", "\n\n", " ", "\n \n"]))
def test_white_space_around_a_text_changes_no_step(parts: list[str], how: str, space: str) -> None:
    text = "\n\n".join(parts)
    assert pieces(f"{space}{text}{space}", how) == pieces(text, how)


@given(st.lists(st.sampled_from(["We add.", "So x = 7.", "Then y.", "The end."]), min_size=2, max_size=6), st.data())
def test_layout_between_lines_changes_no_step(lines: list[str], data: st.DataObject) -> None:
    at, line = data.draw(st.integers(0, len(lines))), data.draw(st.sampled_from(LAYOUT))
    for how in ("auto", "lines"):
        assert pieces("\n".join([*lines[:at], line, *lines[at:]]), how) == lines


def test_layout_belongs_to_the_span_of_its_neighbour() -> None:
    text = "<think>\n\nFirst a.\n\n---\n\n### Solution\n\nThen b.\n\n</think>\n\n**Final Answer**\n\n14\n\n***"
    steps = split(text)
    assert [step.text for step in steps] == ["First a.", "Then b.", "14"]
    assert [text[step.start : step.end] for step in steps] == [
        "<think>\n\nFirst a.\n\n---",
        "### Solution\n\nThen b.\n\n</think>",
        "**Final Answer**\n\n14\n\n***",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "**Paris**",
        "#### 72",
        "#### A",
        "**A**",
        "**42**",
        "**Final Answer: 42**",
        "### Answer: yes",
        "-1",
        "<b>",
        "x =",
    ],
)
def test_a_line_that_says_something_is_content(line: str) -> None:
    assert pieces(f"We add 3 and 4.\n\n{line}") == ["We add 3 and 4.", line]


@pytest.mark.parametrize("text", ["---", "### Solution\n\n---", "<think>\n</think>"])
def test_a_text_of_nothing_but_layout_holds_no_step(text: str) -> None:
    with pytest.raises(NoSteps):
        split(text)


@pytest.mark.parametrize(
    "heading", ["### Finding the radius", "**Using symmetry**", "## Step 1", "**Step 1: Find r**", "1."]
)
def test_a_heading_with_words_of_its_own_is_part_of_what_it_announces(heading: str) -> None:
    assert pieces(f"Let r be it.\n\n{heading}\n\nr is 3.\n\nDone.", "paragraphs") == [
        "Let r be it.",
        f"{heading}\n\nr is 3.",
        "Done.",
    ]


@pytest.mark.parametrize("title", ["Adding apples", "Part one", "The radius of the circle", "Étude du cercle"])
@pytest.mark.parametrize("rule", ["=====", "===", "==========  "])
def test_an_underlined_title_is_part_of_what_it_announces(title: str, rule: str) -> None:
    text = f"Let r be it.\n\n{title}\n{rule}\n\nr is 3.\n\nDone."
    steps = split(text, "paragraphs")
    assert [step.text for step in steps] == ["Let r be it.", f"{title}\n\nr is 3.", "Done."]
    assert text[steps[1].start : steps[1].end] == f"{title}\n{rule}\n\nr is 3."


@pytest.mark.parametrize("line", ["We add.", "x = 3", "So it is 7", "Is it so?", "We write:"])
def test_a_sentence_or_a_claim_above_a_rule_is_not_a_title(line: str) -> None:
    assert pieces(f"{line}\n=====\n\nr is 3.\n\nDone.", "paragraphs") == [line, "r is 3.", "Done."]


def test_titles_at_the_end_and_in_a_row_are_kept() -> None:
    assert pieces("We add.\n\nLast title\n====") == ["We add.", "Last title"]
    assert pieces("Title A\n====\n\nTitle B\n====\n\nWe add.\n\nDone.") == ["Title A\n\nTitle B\n\nWe add.", "Done."]


@pytest.mark.parametrize(
    "line", ["The solution is 5", "Solution 2", "Answer: 5", "Solution of x", "Result = 3", "Proof by cases"]
)
def test_a_line_that_goes_on_after_a_title_word_is_content(line: str) -> None:
    assert pieces(f"We add 3 and 4.\n\n{line}") == ["We add 3 and 4.", line]


@pytest.mark.parametrize("signs", ["}", '",', "...", "∎", "**", "✓", "?"])
def test_a_piece_without_a_letter_or_digit_is_no_step(signs: str) -> None:
    for how, between in (("auto", "\n\n"), ("paragraphs", "\n\n"), ("lines", "\n")):
        assert pieces(between.join(["a", "b", signs, "c", signs]), how) == [
            "a",
            between.join(["b", signs]),
            between.join(["c", signs]),
        ]
        assert pieces(between.join([signs, "a", "b"]), how) == [between.join([signs, "a"]), "b"]


FOUR = ["P one.", "P two.", "P three.", "P four."]


@pytest.mark.parametrize(
    ("head", "steps"),
    [
        ("What we know:\n\n1. a is 3\n2. b is 4", ["What we know:", "1. a is 3\n2. b is 4"]),
        ("What we know:\n1. a is 3\n2. b is 4", ["What we know:\n1. a is 3\n2. b is 4"]),
        ("What we know:\n\n1. a is 3\n\n2. b is 4", ["What we know:", "1. a is 3", "2. b is 4"]),
        ("What we know:\n\n- a is 3\n- b is 4", ["What we know:", "- a is 3\n- b is 4"]),
        ("What we know:\n\n(1) a is 3\n(2) b is 4", ["What we know:", "(1) a is 3\n(2) b is 4"]),
        (
            "What we know:\n\n1) a is 3\n   so c is 4\n2) b is 4",
            ["What we know:", "1) a is 3\n   so c is 4\n2) b is 4"],
        ),
    ],
)
def test_paragraphs_after_a_finished_list_are_steps(head: str, steps: list[str]) -> None:
    assert pieces("\n\n".join([head, *FOUR])) == [*steps, *FOUR]


def test_lines_after_a_finished_list_are_steps() -> None:
    assert pieces("\n".join(["We know:", "1. a", "2. b", *FOUR])) == ["We know:", "1. a\n2. b", *FOUR]
    assert pieces("\n".join(["We know:", "- a", "- b", *FOUR])) == ["We know:", "- a\n- b", *FOUR]


def test_items_that_outnumber_the_paragraphs_are_steps() -> None:
    assert pieces("1. 48/2 = 24\n2. 48+24 = 72\n3. so 72\n\nThe answer is 72.") == [
        "1. 48/2 = 24",
        "2. 48+24 = 72",
        "3. so 72",
        "The answer is 72.",
    ]


def test_the_last_step_holds_no_more_paragraphs_than_those_before_it() -> None:
    assert pieces("Step 1: a\n\nStep 2: b\n\nSo 3.\n\nIt is 3.") == ["Step 1: a", "Step 2: b", "So 3.", "It is 3."]
    assert pieces("Step 1: a\n\nx\n\nStep 2: b\n\ny\n\nSo 3.") == ["Step 1: a\n\nx", "Step 2: b\n\ny", "So 3."]


@pytest.mark.parametrize(
    "plan", ["Plan:\n1. Find x\n2. Find y", "Plan: 1. 2.", "1) x\n2) y", "- x\n- y", "Plan:\n1. x\n2. y\n3. z"]
)
def test_step_marks_win_over_a_plan(plan: str) -> None:
    assert pieces(f"{plan}\n\n**Step 1:** x = 3\n\n**Step 2:** y = 4") == [
        plan,
        "**Step 1:** x = 3",
        "**Step 2:** y = 4",
    ]


def test_numbering_that_restarts_is_a_new_list() -> None:
    plan = "1. Find x\n\n2. Find y\n\nNow do it.\n\n1. x = 3\n\n2. y = 4\n\n3. 7"
    assert pieces(plan, "numbered") == plan.split("\n\n")
    ways_ = "Method A\n\nStep 1: a\n\nStep 2: b\n\nMethod B\n\nStep 1: c\n\nStep 2: d"
    assert pieces(ways_) == ways_.split("\n\n")


MARKS = [
    ("Step 1：", "Step 2："), ("1）", "2）"), ("步骤1：", "步骤2："), ("[Step 1]", "[Step 2]"),
    ("Step 1/3:", "Step 2/3:"),
    ("***Step 1***", "***Step 2***"), ("第一步：", "第二步："), ("第1步，", "第2步，"), ("步骤一：", "步骤二："),
    ("Étape 1 :", "Étape 2 :"),
    ("Schritt 1:", "Schritt 2:"), ("Paso 1:", "Paso 2:"), ("Passo 1:", "Passo 2:"), ("Шаг 1:", "Шаг 2:"),
    ("ステップ1：", "ステップ2："), ("1단계:", "2단계:"), ("Step One:", "Step Two:"), ("STEP I.", "STEP II."),
    ("(1)", "(2)"),
    ("1)", "2)"), ("**1.**", "**2.**"), ("### 1.", "### 2."), ("①", "②"), ("**Step 1/2**:", "**Step 2/2**:"),
    ("Step 1 of 2:", "Step 2 of 2:"), ("(Step 1)", "(Step 2)"), ("【步骤1】", "【步骤2】"), ("Step #1:", "Step #2:"),
    ("## Step 1", "## Step 2"), ("Step (1):", "Step (2):"), ("Step 1 -", "Step 2 -"), ("__Step 1:__", "__Step 2:__"),
    ("> Step 1:", "> Step 2:"), ("1、", "2、"), ("Paso 1.-", "Paso 2.-"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), MARKS)
@pytest.mark.parametrize("how", ["auto", "numbered"])
def test_marks_open_steps(first: str, second: str, how: str) -> None:
    steps = [f"{first} Add 3 to x.\nThat is y.", f"{second} Take it twice.\nThat is z."]
    assert pieces("\n".join(steps), how) == steps


@pytest.mark.parametrize(
    "line",
    ["Step 2 gives 4", "1.5 litres", "2024 was long", "Stepping 1:", "Step by step:", "(1,2) is it", "Pass 1 on"],
)
def test_what_is_not_a_mark_opens_nothing(line: str) -> None:
    text = f"Step 1: a\n{line}\nStep 2: b\nc"
    assert pieces(text) == [f"Step 1: a\n{line}", "Step 2: b\nc"]


@pytest.mark.parametrize(
    "block",
    ["| a | b |\n|---|---|\n| 1 | 2 |", "a | b\n--|--\n1 | 2", " 12\n+34\n---\n 46", "\\[\nx\n\ny\n\\]", "$$\nx\n$$",
     "\\begin{align*}\nx\n\ny\n\\end{align*}", "```\na\n\nb\n```"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["auto", "lines", "paragraphs"])
def test_tables_sums_maths_and_code_stay_whole(block: str, how: str) -> None:
    assert pieces(f"We write\n\n{block}\n\nso it is 3.", how) == ["We write", block.strip(), "so it is 3."]


@given(texts, st.sampled_from(["lines", "paragraphs", "sentences"]))
def test_a_step_is_not_split_again(text: str, how: str) -> None:
    assume(not find_layout(unify_breaks(text).text))
    if text.strip():
        for step in split(text, how):
            assert len(pieces(step.text, how)) == 1


@given(texts, st.sampled_from([r"\n", ";", r"(?=Step \d)", r"\s*", "x?"]))
def test_a_regex_drops_only_its_matches(text: str, pattern: str) -> None:
    try:
        steps = split(text, f"regex:{pattern}")
    except NoSteps:
        return
    assert all(step.text for step in steps)
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


@pytest.mark.parametrize("how", ["auto", "lines", "paragraphs"])
@pytest.mark.parametrize(
    "block",
    ["$$\nx = 3\n\ny = 4\n$$", "$$\nx = 3 \\text{ and so on}\n\n\n+ 4\n  $$", "\\[\nx = 3\n\ny = 4\n\\]"],
)
def test_display_maths_with_a_blank_line_stays_whole(block: str, how: str) -> None:
    assert pieces(f"We know:\n\n{block}\n\nSo 7.", how) == ["We know:", block, "So 7."]


@pytest.mark.parametrize(
    "text", ["$$\nx = 3\n\nSo we have\n\n$$\ny\n$$", "$$\nx = 3\n\nso $$y$$\n\n$$\nz\n$$", "$$\nx\n\n$$y$$ ends"]
)
def test_display_maths_that_is_never_closed_binds_no_prose(text: str) -> None:
    assert len(pieces(text, "paragraphs")) > 1


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


HOSTILE = [
    "\\begin{a}", "\\[", "$$", "$x ", "1. ", "```\n", "\r\n \r\n", ". ", "\n", ".", "。", "|", "|\n", "- ", "---\n",
    "# a\n",
    "**", "Step 1:\n", "1. a\n2. b\n", "- a\n", " ", "(", "12\n+3\n---\n", "<think>\n", "### Solution\n\n", "a b.\n",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_splitting_is_linear_in_hostile_text(unit: str) -> None:
    """Four times the text takes about four times the processor time; sixteen times if it were quadratic."""
    short, long = seconds(unit, 1 << 14), seconds(unit, 1 << 16)
    assert long < 10 * short + 0.5


def seconds(unit: str, characters: int) -> float:
    started = time.process_time()
    for how in ("auto", "sentences", "numbered", "code"):
        split(unit * (characters // len(unit)) + "x", how)
    return time.process_time() - started


def test_a_megabyte_is_split() -> None:
    text = "\n\n".join(f"Step {number}: we add {number} and $x$. So it is." for number in range(1, 30_000))
    assert len(text) > 900_000
    assert len(split(text)) == 29_999
