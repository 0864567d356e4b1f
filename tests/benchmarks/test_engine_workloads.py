"""The engine benchmark's workloads: sizes, shared prefixes, reads at markers, the same every time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.engine.real import RealSource, missing, real_workloads  # noqa: E402
from benchmarks.engine.workloads import (  # noqa: E402
    CLOSE,
    RandomSource,
    Sizes,
    Workload,
    read_at,
    tokens,
    with_targets,
    workloads,
)

VOCABULARY, MARKER = 50, 49
SIZES = Sizes(count=6, rounds=3, nodes=7)


def make_workloads() -> list[Workload]:
    return list(workloads(RandomSource(VOCABULARY), MARKER, SIZES))


def test_the_four_workloads_have_the_sizes_asked_for() -> None:
    assert [each.name for each in make_workloads()] == ["6 singles", "rerank of 6", "beam 4x4x3", "tree of 7"]
    assert [[len(call) for call in each.calls] for each in make_workloads()] == [[6], [6], [16, 16, 16], [1] * 7]
    assert [each.one_a_call for each in make_workloads()] == [False, False, False, True]


def test_they_are_the_same_every_time() -> None:
    assert make_workloads() == make_workloads()


def test_candidates_share_their_prompt_and_singles_do_not() -> None:
    singles, rerank, *_ = make_workloads()
    shared = {one.ids[:60] for one in rerank.calls[0]}
    assert len(shared) == 1
    assert len({one.ids[:60] for one in singles.calls[0]}) == SIZES.count


def test_a_round_extends_sequences_of_the_round_before() -> None:
    beam = make_workloads()[2]
    for before, after in zip(beam.calls, beam.calls[1:], strict=False):
        known = {one.ids[: -len(CLOSE)] for one in before}
        assert all(any(one.ids[: len(ids)] == ids for ids in known) for one in after)


def test_sequences_are_read_at_their_markers() -> None:
    one = read_at([1, MARKER, 2, 3, MARKER], MARKER)
    assert (one.ids, one.reads) == ((1, MARKER, 2, 3, MARKER, *CLOSE), (1, 4))
    aimed = with_targets(Workload("one", [[one]])).calls[0][0]
    assert aimed.targets == (2, CLOSE[0])


def test_asked_counts_every_token() -> None:
    each = Workload("two", [[read_at([1], MARKER)], [read_at([1, 2], MARKER)] * 2])
    assert each.asked == tokens(each.calls) == 3 + 4 + 4


def test_a_source_of_few_candidates_gives_more_reranks() -> None:
    source = RealSource([([1, 2], [[3, MARKER, 4, MARKER]] * 3), ([5], [[6, MARKER]] * 3)], MARKER)
    _, reranks, *_ = workloads(source, MARKER, SIZES, "it: ", group=3)
    assert reranks.name == "it: 2 reranks of 3"
    assert [len(call) for call in reranks.calls] == [3, 3]
    assert reranks.calls[0][0].ids == (1, 2, 3, MARKER, 4, MARKER, *CLOSE)


def test_steps_of_real_text_come_one_by_one() -> None:
    source = RealSource([([1], [[2, MARKER, 3, 4, MARKER]])], MARKER)
    assert [source.step() for _ in range(3)] == [[2, MARKER], [3, 4, MARKER], [2, MARKER]]


def test_real_text_becomes_the_same_workloads(tmp_path: Path) -> None:
    for folder in ("gsm8k", "processbench"):
        (tmp_path / folder).mkdir()
    solved = {"question": "2+2?", **{name: {"solution": f"{name}\nso 4"} for name in "abcd"}}
    (tmp_path / "gsm8k/model_solutions.jsonl").write_text(f"{json.dumps(solved)}\n" * 3)
    (tmp_path / "processbench/math.json").write_text(json.dumps([{"problem": "x?", "steps": ["one", "", "two"]}] * 3))
    found = list(real_workloads(tmp_path, lambda text: [ord(letter) for letter in text], 200, Sizes(4, 2, 3)))
    assert [each.name.partition(": ")[2] for each in found] == [
        *("4 singles", "rerank of 4", "beam 4x4x2", "tree of 3"),
        *("4 singles", "beam 4x4x2", "tree of 3"),
    ]
    assert found[4].calls[0][0].ids.count(200) == 2


@pytest.mark.parametrize("absent", ["gsm8k/model_solutions.jsonl", "processbench/math.json"])
def test_what_is_missing_is_named(tmp_path: Path, absent: str) -> None:
    why = missing(tmp_path)
    assert absent in why
