"""No problem of a test set is trained on: the scan itself, and the recipe's problems if the data are at hand."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from recipes.embedded.contamination import Scan, contaminated, words
from recipes.embedded.held_out import apart, training_problems
from recipes.embedded.mixture import development, mixture

DATA = Path(__file__).parents[3].parent / "shared" / "data"
EGGS = "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning. How many are left each day?"


def lines(file: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (DATA / file).read_text(encoding="utf-8").splitlines()]


def test_the_same_text_in_other_signs_is_found() -> None:
    (hit,) = contaminated(["Who?", EGGS.upper().replace(".", " ;\n")], [EGGS])
    assert hit.overlap == 1.0
    assert words(hit.trained) == words(EGGS)


def test_a_text_with_one_sentence_changed_is_found() -> None:
    (hit,) = contaminated([EGGS.replace("How many are left each day?", "What remains?")], [EGGS])
    assert 0.5 < hit.overlap < 1.0


def test_a_text_inside_a_longer_one_is_found() -> None:
    assert list(contaminated([f"{EGGS} She sells the rest for $2 each, and buys feed for $5 a bag."], [EGGS]))


OTHER_SPELLINGS = {
    "invisible characters": EGGS.replace("a", "a\u200b").replace("e", "e\u00ad"),
    "accents": EGGS.replace("e", "e\u0301"),
    "digits of full width": EGGS.replace("16", "\uff11\uff16"),
    "hard spaces": EGGS.replace(" ", "\u00a0"),
    "other names": EGGS.replace("Janet", "Farrokh"),
    "other numbers": EGGS.replace("16", "2,400").replace("three", "17"),
    "another person": EGGS.replace("Janet's", "Tom's").replace("She", "He").replace("16", "20").replace("three", "4"),
    "another order": " ".join(reversed(EGGS.split(". ", 1))),
    "more sentences": f"It is a fine day. {EGGS} Explain how you found it.",
}


@pytest.mark.parametrize("text", OTHER_SPELLINGS.values(), ids=OTHER_SPELLINGS)
def test_the_same_story_in_another_dress_is_found(text: str) -> None:
    (hit,) = contaminated([text, "Tom has 3 apples. He eats three for breakfast every day."], [EGGS])
    assert hit.trained == text


def test_stories_that_share_only_names_numbers_and_small_words_are_not_found() -> None:
    one = "Ben is 3 and Tom is 5 and Ann is 4 and Kim is 2 and Joe is 9 and Sue is 1. Who is the oldest?"
    other = "Liz is 1 and Bob is 2 and Eve is 3 and Max is 4 and Zoe is 5 and Ian is 6. Who runs home first?"
    assert not list(contaminated([one], [other]))


@pytest.mark.xfail(reason="other words for the same story share no 6-gram", strict=True)
def test_the_same_story_in_other_words_is_found() -> None:
    retold = (
        "A farm's birds produce 16 eggs daily. Each dawn the owner has 3 of them. What number of them remains per day?"
    )
    assert list(contaminated([retold], [EGGS]))


@pytest.mark.parametrize(
    "other", ["Tom has 3 apples and buys 4 more. How many has he?", "", "Janet's ducks lay 16 eggs."]
)
def test_another_problem_is_not_found(other: str) -> None:
    assert not list(contaminated([other], [EGGS]))


def test_a_short_problem_is_found_as_a_whole() -> None:
    assert list(contaminated(["What is 2 + 2?"], ["what is 2+2"]))
    assert not list(contaminated(["What is 2 + 3?"], ["what is 2+2"]))


def test_all_that_is_near_is_named_and_not_the_closest_alone() -> None:
    twins = [EGGS, EGGS.replace("Janet", "Tom"), f"{EGGS} She sells the rest."]
    assert {hit.trained for hit in Scan(twins).near(EGGS)} == set(twins)


def test_problems_near_what_is_kept_out_are_dropped_with_their_twins() -> None:
    other = "Tom has 3 apples and buys 4 more. How many has he?"
    assert apart([EGGS, other, f"{EGGS} She sells the rest."], [EGGS]) == [other]


def gsm8k() -> list[str]:
    return [str(row["question"]) for row in lines("gsm8k/test.jsonl")]


def processbench() -> list[str]:
    files = (DATA / "processbench" / name for name in ("math.json", "olympiadbench.json"))
    return [row["problem"] for file in files for row in json.loads(file.read_text(encoding="utf-8"))]


def prmbench() -> list[str]:
    return [str(row["original_question"]) for row in lines("prmbench/subset400.jsonl")]


def math_test() -> list[str]:
    return [str(row["problem"]) for row in lines("outcomes/zeroeval_math_l5.jsonl")]


def champ() -> list[str]:
    found = importlib.util.find_spec("champ_dataset")
    if found is None or not found.submodule_search_locations:
        pytest.skip("champ-dataset is not installed")
    file = Path(found.submodule_search_locations[0]) / "dataset_files" / "v0.json"
    problems = json.loads(file.read_text(encoding="utf-8"))["problems"]
    return [each["_text"] for each in problems.values()]


@pytest.fixture(scope="module")
def scan() -> Scan:
    if not DATA.is_dir():
        pytest.skip(f"needs the data in {DATA}")
    trained = [each.problem for each in training_problems(DATA)]
    return Scan([*trained, *(group[0]["prompt"] for group in [*mixture(DATA), *development(DATA)])])


def test_no_problem_of_the_development_split_is_trained_on() -> None:
    if not DATA.is_dir():
        pytest.skip(f"needs the data in {DATA}")
    held = {group[0]["prompt"] for group in development(DATA)}
    assert len(held) == 100
    assert held.isdisjoint(group[0]["prompt"] for group in mixture(DATA))


@pytest.mark.parametrize("tests", [gsm8k, processbench, prmbench, math_test, champ], ids=lambda tests: tests.__name__)
def test_no_problem_of_a_test_set_is_trained_on(scan: Scan, tests: Callable[[], list[str]]) -> None:
    problems = tests()
    assert len(problems) > 100
    found = [hit for problem in problems for hit in scan.near(problem)]
    assert not found, found
