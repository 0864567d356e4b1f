"""Several engines score a batch together: the same rewards as one, each with its share of the tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpoints
import checkpoints_judges
from stepscore.config import EngineOptions
from stepscore.errors import UnsupportedByEngine
from stepscore.scoring.open import open_scorer
from stepscore.scoring.replicated import ReplicatedScorer, even_shares
from stepscore.types import Encoded, EncodedSolution, Reading, Solution

OPTIONS = EngineOptions(device="cpu", dtype="float32", kv_cache_bytes=1 << 20, threads=1)


def test_two_engines_give_the_rewards_of_one(tmp_path: Path) -> None:
    folder = str(checkpoints.qwen_math(tmp_path))
    solutions = [Solution(f"What is {n} + 1?", ("We add.", f"It is {n + m}.")) for n in range(6) for m in range(3)]
    one, two = (open_scorer(folder, options=OPTIONS, data_parallel=count) for count in (1, 2))
    assert isinstance(two, ReplicatedScorer)
    for found, wanted in zip(two.score(solutions), one.score(solutions), strict=True):
        assert isinstance(found, Reading)
        assert isinstance(wanted, Reading)
        assert found.rewards == pytest.approx(wanted.rewards, abs=1e-5)
    assert all(replica.counts().computed for replica in two.replicas)
    assert two.counts().computed < one.counts().computed * 1.4, "only what all problems share is computed twice"
    two.purge()
    assert two.counts().kept == 0
    two.close()


def test_a_judge_is_not_opened_several_times(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedByEngine, match="judge"):
        open_scorer(str(checkpoints_judges.judge(tmp_path)), family="critic", options=OPTIONS, data_parallel=2)


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40), count=st.integers(1, 6))
def test_shares_hold_everything_once_and_differ_by_no_more_than_one_solution(lengths: list[int], count: int) -> None:
    batch = [
        EncodedSolution((Encoded((number % 7, *range(length - 1)), (0,)),), 1) for number, length in enumerate(lengths)
    ]
    shares = even_shares(batch, count)
    assert sorted(number for share in shares for number in share) == list(range(len(batch)))
    each = [sum(lengths[number] for number in share) for share in shares]
    assert max(each) - min(each) <= sum(lengths) / count + max(lengths)
    assert max(each) <= sum(lengths) / count + max(lengths)
