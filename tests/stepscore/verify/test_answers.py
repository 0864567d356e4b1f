"""Final answers: found if solutions state them, by named readers in order of trust."""

from __future__ import annotations

import time

import pytest

from stepscore.verify.answers import READERS, final_answer, known_answer, read_answer
from stepscore.verify.equality import group_answers, same_answer

STATED = [
    ("The answer is:\n\n14", "14"),
    ("Thus, the final answer is:\n\\[ 14 \\]", "14"),
    ("The answer is:\n\n15", "15"),
    ("**Final Answer**\n\n14", "14"),
    ("## Answer\n\n**14**", "14"),
    ("Answer:\n$$\n14\n$$", "14"),
    ("**Answer:**\n\n\\( 14 \\)", "14"),
    ("#### Final Answer\n14", "14"),
    ("#### Step 1: add\n3 + 4 = 7\n#### Step 2: double\nThe answer is 14.", "14"),
    ("#### 1. First add\n#### 2. Then double\nThe answer is 14.", "14"),
    ("### Answer: 14", "14"),
    ("#### The answer is 14", "14"),
    ("The answer is 3 + 4 = 7.", "7"),
    ("The answer is $3 + 4 = 7$.", "7"),
    ("The answer is 667 + 1769 = 2436.", "2436"),
    ("The answer is $12 - $5 = $7.", "$7"),
    ("The final answer is 2^{10} = 1024.", "1024"),
    ("The answer is 4*4*4*4=256", "256"),
    (r"The answer is 3.2 \times 10^5.", r"3.2 \times 10^5"),
    (r"The answer is 2 \sqrt{3}.", r"2 \sqrt{3}"),
    ("The answer is 3 1/2 cups.", "3 1/2 cups"),
    ("The answer is 1, 2 and 3.", "1, 2 and 3"),
    ("The answer is 5 or 7.", "5 or 7"),
    ("The answer is 1 234 567.", "1 234 567"),
    ("The answer is 25 %.", "25 %"),
    ("The answer is 101 base 2.", "101 base 2"),
    ("The answer is $10.50.", "$10.50"),
    ("The answer is [2, 5).", "[2, 5)"),
    ("The answer is 5 hours 30 minutes.", "5 hours 30 minutes"),
    ("So the answer is 3:2.", "3:2"),
    ("The answer is March 5, 2020.", "March 5, 2020"),
    ("The answer is 5:30 PM.", "5:30 PM"),
    ("The answer is -5.", "-5"),
    ("I think the answer is 5. But checking, the answer is 6.", "6"),
    ("The answer is 5. Wait, the answer is 7. No, the answer is 6.", "6"),
    ("Answer: 5\n\nAnswer: 6", "6"),
    ("Final Answer: The final answer is (4, 2, 4). I hope it is correct.", "(4, 2, 4)"),
    ("The final answer is $x+1$. I hope it is correct.", "x+1"),
    ("So the answer is yes, because 4 > 3.", "yes"),
    ("So the answer is no, because 4 > 3", "no"),
    ("The answer is no since 2 < 3.", "no"),
    ("The answer is Paris, which has 2 million people.", "Paris"),
    ("The answer is 14 apples, not 15.", "14 apples"),
    ("The answer is 5 because 3 is odd.", "5"),
    ("The answer is that John has 5 apples left.", "5"),
    ("So the answer is Monday.", "Monday"),
    ("**The final answer is: $18**.", "$18"),
    (r"Answer: \(x^2\)", "x^2"),
    ("She makes 9 * 2 = $18\nA: 18\n", "18"),
    ("La respuesta es 14.", "14"),
    ("Die Antwort lautet 14.", "14"),
    ("The answer is the least common multiple of 6 and 9, which is 18.", "18"),
    ("Final Answer: The largest $n$ is 34.", "34"),
    ("The answer is 4 (estimated).", "4"),
    (r"The answer is $x = 5+5+1 = 1/3 \approx 0.33$.", "1/3"),
    (r"The answer is \sum_{k=0}^{n} k.", r"\sum_{k=0}^{n} k"),
    ("La réponse est 14.", "14"),
    ("La risposta è 14.", "14"),
    ("A resposta é 14.", "14"),
    ("Ответ: 14", "14"),
    ("答案是14。", "14"),
    ("所以答案为 14，因为 3+4。", "14"),
    ("The answer is $x^2 + 2x + 1$.", "x^2 + 2x + 1"),
    ("The answer is x² + 2x + 1.", "x² + 2x + 1"),
    ("The answer is a - 3 b + 2 c.", "a - 3 b + 2 c"),
    ("The answer is x + 3 < 7.", "x + 3 < 7"),
    (r"Answer: $x \in (3, 5)$", r"x \in (3, 5)"),
    ("Answer: |x| < 3", "|x| < 3"),
    ("The answer is between 3 and 5.", "between 3 and 5"),
    ("The answer is at least 3 meters long.", "at least 3 meters long"),
    ("The answer is 5! = 120.", "120"),
    ("The answer is 3! + 2! = 8.", "8"),
    ("The answer is 5!", "5"),
    ("The answer is 0.333....", "0.333..."),
    ("The answer is 0.1666...", "0.1666..."),
    ("The answer is 3 times 4, which is 12.", "12"),
    ("The answer is 5 more than 3, which equals 8.", "8"),
    (r"The answer is $\sqrt{2}$, which is about 1.414.", r"\sqrt{2}"),
    ("The answer is $3.50 per pound.", "$3.50 per pound"),
]

BOXES = [
    (r"\boxed{\text{The answer is } 5}", "5"),
    (r"\boxed{The final answer is: 5}", "5"),
    (r"\boxed{\textbf{Answer: } \frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{x + 1}", "x + 1"),
    (r"\boxed{\text{answer}}", None),
]
"""What a box says in words."""

GUESSES = [
    ("Therefore x = 5 or x = 3.", "x = 5 or x = 3"),
    ("So x = 1, x = -2, and x = 3/4.", "x = 1, x = -2, and x = 3/4"),
    ("The solution set is {1, 2}.", "{1, 2}"),
    ("Thus it lies in [3, 5).", "[3, 5)"),
    ("So the point is (3, 4).", "(3, 4)"),
]

LETTERS = [
    ("The answer is (B) 12.", "B"),
    ("The answer is B.", "B"),
    ("Answer: B) 12", "B"),
    (r"\boxed{\textbf{(B)}\ 12}", "B"),
    (r"\boxed{\text{B}}", "B"),
    ("The correct option is B.", "B"),
    ("The correct answer is option B.", "B"),
    ("Therefore, B is correct since 3 > 2.", "B"),
    ("So option (B) is correct.", "B"),
    ("Answer: **B**", "B"),
    ("**Answer: B. 12 apples**", "B"),
    ("So the answer is (b) 3% Profit.", "B"),
    ("故选：C。", "C"),
    ("故选C", "C"),
    ("正确答案是C。", "C"),
    ("因此，答案选C。", "C"),
    ("所以，选B。", "B"),
    ("因此选项B正确。", "B"),
    ("因此选项是B。", "B"),
    ("Answer: (A), (C)", "(A), (C)"),
    ("Answer: A and C", "A and C"),
    ("The correct options are (A), (B) and (D).", "(A), (B) and (D)"),
]

NONE = ["only words", "", r"Then \boxed{3} and so \boxed{\frac{1}{2", r"so \boxed{5", "<answer>14", "The answer is"]
NONE += [r"The answer is $\frac{1}{", "The answer is (3,", r"The answer is \(x^2 +", r"The answer is \[ 5"]


@pytest.mark.parametrize(("text", "answer"), STATED)
def test_a_statement_is_read_as_a_whole_and_the_last_one_counts(text: str, answer: str) -> None:
    found = read_answer(text)
    assert found is not None
    assert (found.text, found.reader) == (answer, "statement")


REPORTED = [
    pytest.param(
        "Consistent!\n\nThus, the number is **73**.\n\n---\n\n✅ Final Answer: **73**",
        "73",
        id="huggingface/Math-Verify#76",
    ),
    pytest.param(
        "SoHi YES.\n\n therefore\\boxed{840}.,but let me put this after.\n\n**Final Answer**\n\\boxed{840}",
        "840",
        id="huggingface/Math-Verify#44",
    ),
    pytest.param(
        "the answer should be \\boxed{004}.\n\nAgain, \\boxed{004} is correct.\n\n**Final Answer**\n\\boxed{004}",
        "004",
        id="huggingface/Math-Verify#44b",
    ),
    pytest.param(
        "I think the answer is \\boxed{1}. Yeah so the reason why the answer is \\boxed{1} is because of xxx.",
        "1",
        id="huggingface/Math-Verify#57",
    ),
    pytest.param(
        "...the total cost of Rory's delivery order is $29.00.", "$29.00", id="EleutherAI/lm-evaluation-harness#3214"
    ),
    pytest.param("Thus the answer is \\[ \\boxed{42} \\]", "42", id="EleutherAI/lm-evaluation-harness#2552"),
    pytest.param("The difference is 8-4.\n\n**Answer:** 4.", "4", id="EleutherAI/lm-evaluation-harness#3643"),
    pytest.param("#### -3", "-3", id="google-deepmind/proeval#19"),
    pytest.param("Answer: `$13$`", "13", id="hiyouga/EasyR1#382"),
    pytest.param("\\boxed{\\frac{1}{3}}", "\\frac{1}{3}", id="modelscope/ms-swift#10147"),
    pytest.param("<answer>\\boxed{42}</answer>", "42", id="AI-Hypercomputer/maxtext#4150"),
    pytest.param("I considered (A), but it is incorrect. Final answer: D.", "D", id="aniri15/OPD-V#2"),
    pytest.param("The correct answer is d.", "d", id="aniri15/OPD-V#2b"),
    pytest.param("Answer: $B", "B", id="open-compass/VLMEvalKit#1591"),
    pytest.param("The answer is B. Note that A is a common distractor.", "B", id="jundot/omlx#3668"),
    pytest.param("The answer is C because I computed the integral.", "C", id="jundot/omlx#3668b"),
    pytest.param("ANSWER IS D. A is incorrect.", "D", id="jundot/omlx#3668c"),
    pytest.param(
        "Answer: Let's think step by step. A ring is R. The answer is (C).", "C", id="open-compass/opencompass#1933"
    ),
    pytest.param(
        "A: Let's think step by step. Hence k=0 and n = 0. The answer is (A).", "A", id="open-compass/opencompass#1462"
    ),
    pytest.param("只有选项B是对的", "B", id="open-compass/opencompass#2600"),
    pytest.param("所以只有B正确。", "B", id="open-compass/opencompass#2600b"),
    pytest.param("The correct answer option is \\boxed{ABCD}", "ABCD", id="open-compass/opencompass#1413"),
    pytest.param("答案应该选C", "C", id="open-compass/opencompass#1688"),
    pytest.param("说法正确的是B", "B", id="open-compass/opencompass#1688b"),
    pytest.param("B是正确答案", "B", id="open-compass/opencompass#1688c"),
    pytest.param("答案选项为：D", "D", id="open-compass/opencompass#1688d"),
    pytest.param(
        "Josh's profit:\n\n$200,000 - $130,000 = $70,000.\n\nFinal answer: $70,000",
        "$70,000",
        id="open-compass/opencompass#2426",
    ),
    pytest.param(
        "3+4=7\n#### 7\n\nQuestion: What is 5+5?\nAnswer: 5+5=10\n#### 10", "7", id="sgl-project/sglang#29933"
    ),
    pytest.param(
        "So she has 7.\nThe answer is 7.\n\nQ: Tom has 3 apples. How many?\nA: The answer is 3.",
        "7",
        id="huggingface/lighteval#686",
    ),
]
"""What other projects' readers were reported to misread: repository#number."""


@pytest.mark.parametrize(("text", "answer"), REPORTED)
def test_what_was_reported_elsewhere_is_read_here(text: str, answer: str) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "Question: What is 3+4?\nAnswer: 7",
        "Let me restate.\nQuestion: what is 3+4?\nIt is 7.",
        "So 3 + 4 = 5.\n\nProblem: that is wrong.\nThe answer is 7.",
    ],
)
def test_a_question_before_any_stated_answer_ends_nothing(text: str) -> None:
    assert final_answer(text) == "7"


@pytest.mark.parametrize(("text", "answer"), BOXES)
def test_a_box_that_states_its_answer_in_words_is_read(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(("text", "answer"), GUESSES)
def test_a_guess_takes_the_whole_of_a_set_an_interval_or_a_row_of_equations(text: str, answer: str) -> None:
    found = read_answer(text)
    assert found is not None
    assert (found.text, found.reader) == (answer, "guess")


@pytest.mark.parametrize(("text", "letter"), LETTERS)
def test_a_multiple_choice_answer_is_its_letter(text: str, letter: str) -> None:
    assert final_answer(text) == letter


@pytest.mark.parametrize("text", NONE)
def test_a_text_without_an_answer_or_cut_off_inside_it_has_none(text: str) -> None:
    assert final_answer(text) is None


@pytest.mark.parametrize(
    ("text", "answer", "reader"),
    [
        ("<think>4 cities, 2 rivers</think><answer>Paris</answer>", "Paris", "tag"),
        (r"<answer>The answer is \boxed{5}</answer>", "5", "tag"),
        ("<answer>\n14\n</answer>", "14", "tag"),
        ("<think>Maybe the answer is 5.</think>\nIt comes to 14.", "14", "guess"),
        (r"<think>I get \boxed{5}</think>The answer is 14.", "14", "statement"),
        (r"I compute \boxed{5}.</think> So \boxed{14}", "14", "box"),
        (r"<think>So \boxed{14}</think>", "14", "box"),
        (r"so \boxed{\frac{1}{2}}, then \boxed{x^{2}}. The answer is 9", "9", "statement"),
        (r"so \boxed{\frac{1}{2}}, then \boxed{x^{2}}. The answer is clear", "x^{2}", "box"),
        (r"\boxed{\boxed{3}} and so \boxed 7$.", "7", "box"),
        (r"\boxed{\text{a \} brace}}", r"\text{a \} brace}", "box"),
        (r"an open \boxed{5 and a closed \boxed{6}", "6", "box"),
        (r"$\boxed{3}$ and $\boxed{-1}$", "3, -1", "box"),
        ("\\boxed{3}\n\n\\boxed{4}", "4", "box"),
        (r"\boxed{3 + 4 = 7}", "7", "box"),
        (r"\boxed{25}\%", r"25\%", "box"),
        ("first #### 1\n#### 70,000\nA: 3", "3", "statement"),
        ("So 9 * 2 = 18\n#### 18", "18", "gsm8k"),
        ("It cools.\n#### -3", "-3", "gsm8k"),
        ("So the probability is $\\frac{1}{2}$.", r"\frac{1}{2}", "guess"),
        ("So the probability is $\\frac{3}{2}$.", r"\frac{3}{2}", "guess"),
        ("So the length is $\\sqrt{2}$.", r"\sqrt{2}", "guess"),
        ("She has 16-3-4=9 eggs", "9", "guess"),
        ("it fell to -5", "-5", "guess"),
        ("in all 3/4 cup", "3/4", "guess"),
        ("The answer is not 5. It is 6.", "6", "guess"),
        ("Options:\nA: 3\nB: 4\nSo it is 7.", "7", "guess"),
        ("Answer:\nTom has 3 apples and buys 4. So he has 7.", "7", "guess"),
        ("Final Answer: How long will it take?\nIt will take 48 minutes.", "48", "guess"),
    ],
)
def test_readers_are_asked_in_order_of_trust(text: str, answer: str, reader: str) -> None:
    found = read_answer(text)
    assert found is not None
    assert (found.text, found.reader) == (answer, reader)
    assert found.is_guess is (reader == "guess")


PLACEHOLDERS = [
    (r"I will put it in \boxed please. The answer is 5.", "5"),
    (r"Put your final answer in \boxed{}. So it is 7 apples in total.", "7"),
    (r"We must use \boxed{...} for it. The answer is 12.", "12"),
    (r"The format is \boxed{answer}. It is 9.", "9"),
    (r"\boxed{\text{your answer}} then 5+5=10", "10"),
    ("\\boxed{5}\nI was told to use \\boxed{}.", "5"),
    (r"\boxed{\ldots} and the answer is 6.", "6"),
    (r"\boxed{?} The answer is 3", "3"),
    (r"\boxed{ } The answer is 3", "3"),
    (r"\boxed{\_\_\_} The answer is 3", "3"),
    (r"\boxed{Final Answer} 5", "5"),
    ("I will use the <answer> tag. The answer is 5.", "5"),
    ("I'll answer in <answer> and </answer> tags. The answer is 5.", "5"),
    ("Format: <answer>...</answer>. It is 8.", "8"),
    ("<answer></answer> The answer is 4", "4"),
    ("<answer> </answer>\n\\boxed{4}", "4"),
    ("<answer>your answer here</answer>\nSo 13.", "13"),
    ("<answer>42</answer> I used <answer></answer> tags.", "42"),
    ("<answer>14", None),
    ("so:\n<answer>\n14", None),
    (r"\fbox{12}", "12"),
    ("boxed{12}", "12"),
    (r"\\boxed{12}", "12"),
    ("\boxed{12}", "12"),
    (r"\boxed 7$", "7"),
    (r"$\boxed\frac{1}{2}$", r"\frac{1}{2}"),
    ("Options:\nA) 3\nB) 4\nC) 5\nSo 3+1 = 4", "4"),
    ("A) 3\nB) 4\nC) 5", "5"),
    (r"\boxed{\infty}", r"\infty"),
    (r"\boxed{∞}", "∞"),
    (r"\boxed{\emptyset}", r"\emptyset"),
    (r"\boxed{-}", "-"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{or}", None),
    (r"\boxed{\{\}}", r"\{\}"),
    (r"\boxed{\varnothing}", r"\varnothing"),
    (r"\boxed{+}", "+"),
]

OPTIONS = [
    ("**B. 12**", "B"),
    ("B) 12", "B"),
    ("Some reasoning 3 > 2.\n(B) 12", "B"),
    ("So we have it.\n\n**(B) 12**", "B"),
    ("Thus\nB: 12 apples", "B"),
    ("3 + 4 = 7\nOption B", "B"),
    ("3 + 4 = 7\n**Option B**", "B"),
    ("We choose (D).", "D"),
    ("3 > 2 so we choose option D", "D"),
    ("I pick **C**.", "C"),
    ("We select answer B, since 3 > 2.", "B"),
    ("I'd go with (E).", "E"),
    (r"\box{A}", "A"),
    (r"$\boxed C$", "C"),
]


@pytest.mark.parametrize(("text", "answer"), PLACEHOLDERS)
def test_what_only_stands_for_an_answer_is_not_one(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(("text", "letter"), OPTIONS)
def test_the_letter_of_an_option_is_found_without_a_statement(text: str, letter: str) -> None:
    assert final_answer(text) == letter


@pytest.mark.parametrize(
    "answer", [r"\frac{1}{2}", "3x+2", "(3, 4)", "[2, 5)", r"12\pi", "10^5", "3:2", "5 hours 30 minutes"]
)
def test_a_known_answer_is_taken_as_it_is(answer: str) -> None:
    assert known_answer(answer) == answer


def test_a_worked_solution_is_known_by_its_end() -> None:
    assert known_answer("She has 3 + 4 = <<3+4=7>>7.\n#### 7") == "7"
    assert known_answer(r"$\boxed{1}$ and $\boxed{-2}$") == "1, -2"
    assert known_answer(r"It is $\boxed{\frac{1}{2}}$.") == r"\frac{1}{2}"


def test_finding_an_answer_is_linear_in_hostile_text() -> None:
    started = time.process_time()
    for unit in ("</s>", "<|im_end|>", "x = 5 or ", "(A) and ", "x^2 + ", "one half "):
        read_answer(unit * (100_000 // len(unit)) + "\nThe answer is 5.")
        read_answer("The answer is " + unit * (100_000 // len(unit)))
    for unit in ("\\boxed{", "{", "answer is ", "A: ", "1,", "####", "$", "\\(", "<answer>", "</think>", "B is ", "**"):
        read_answer(unit * (100_000 // len(unit)))
    assert time.process_time() - started < 30


def test_readers_have_different_names() -> None:
    assert len({name for name, _ in READERS}) == len(READERS)


def test_letters_of_all_spellings_are_one_group() -> None:
    texts = [text for text, letter in LETTERS if letter == "B"]
    assert group_answers([final_answer(text) for text in texts]) == [list(range(len(texts)))]
    assert not same_answer("B", "C")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is x^2 + 2x + 1.", "x^2 + 2x + 1"),
        ("The answer is 2x - 3y + 4 < 0.", "2x - 3y + 4 < 0"),
        ("The answer is a^2 - b^2 + 2ab.", "a^2 - b^2 + 2ab"),
        ("The answer is sin x + cos x - 1.", "sin x + cos x - 1"),
        ("The answer is the number 12 - the smallest of them.", "12"),
        ("The answer is between 5 and 6.", "between 5 and 6"),
        ("Answer: (A) and (C)", "(A) and (C)"),
        ("Answer: A and C", "A and C"),
        ("The correct options are (B), (D).", "(B), (D)"),
        ("Therefore, x = 5 or x = -3.", "x = 5 or x = -3"),
        ("The solutions are x = 2 and x = 3.", "x = 2 and x = 3"),
        ("So the roots: a = 1/2, a = -4", "a = 1/2, a = -4"),
        ('The answer is "cat".', "cat"),
        ("Final answer: “red”", "red"),
        ("Answer - B", "B"),
        ("Final Answer – 12", "12"),
        ("综上，本题选A。", "A"),
        ("选 D", "D"),
        ("所以选（B）", "B"),
        ("答えは 12 です。", "12"),
        ("Respuesta final: 3,5 km", "3,5 km"),
        ("La respuesta correcta: B", "B"),
        ("Réponse finale : 7", "7"),
        ("The answer is 12 ✅", "12"),
        ("The answer is 12👍🎉", "12"),
    ],
)
def test_an_answer_is_taken_whole_and_alone(text: str, answer: str) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    "end",
    ["</s>", "<|im_end|>", "\n<|im_end|>\n", "<|eot_id|>", "<｜end▁of▁sentence｜>", "<end_of_turn>", "<eos><pad><pad>"],
)
def test_special_tokens_at_the_end_of_a_text_are_no_part_of_the_answer(end: str) -> None:
    assert final_answer(f"The answer is 12.{end}") == final_answer(f"#### 12{end}") == "12"


@pytest.mark.parametrize("text", ["选项A不正确", "不选A。", "他选择了一本书"])
def test_an_option_that_is_only_named_is_not_chosen(text: str) -> None:
    assert final_answer(text) is None
