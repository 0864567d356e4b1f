"""Mode `invariant`: bit for bit the same number, whatever shares the batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import engine_case as case
from stepscore.engine.torch.linear import Linear
from stepscore.family.heads import TokenLogProbHead
from stepscore.types import Values


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.cpu_probe)])
@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_scores_do_not_depend_on_company(tmp_path: Path, threads: int, kind: str, dtype: str) -> None:
    facts = case.write(tmp_path, kind)
    sequences = case.batch(seed=threads, size=10, longest=150)
    engine = case.engine(facts, mode="invariant", dtype=dtype, max_batch_tokens=700)
    alone = [engine.forward([one])[0] for one in sequences]
    _assert_same_bits(alone, engine.forward(sequences))
    _assert_same_bits(alone[::-1], engine.forward(sequences[::-1]))
    _assert_same_bits(alone[2:5], engine.forward(sequences[2:5]))


def test_log_probabilities_do_not_depend_on_company(tmp_path: Path, threads: int) -> None:
    facts = case.write(tmp_path)
    sequences = case.batch(seed=threads, size=8, longest=100, targets=True)
    engine = case.engine(facts, TokenLogProbHead(reference=False), mode="invariant")
    _assert_same_bits([engine.forward([one])[0] for one in sequences], engine.forward(sequences))


@pytest.mark.parametrize(("inputs", "outputs"), [(576, 1536), (896, 300), (100, 60)])
def test_tiles_make_rows_independent_of_their_number(threads: int, inputs: int, outputs: int) -> None:
    """The plain product fails this for a handful of rows: BLAS takes another kernel for them."""
    generator = torch.Generator().manual_seed(0)
    layer = Linear(torch.randn(outputs, inputs, generator=generator), torch.randn(outputs, generator=generator), 128)
    rows = torch.randn(500, inputs, generator=generator)
    whole = layer(rows)
    for start, count in ((0, 1), (3, 2), (100, 7), (250, 129), (1, 499)):
        assert torch.equal(layer(rows[start : start + count]), whole[start : start + count])


def test_nothing_is_shared_but_whole_duplicates(tmp_path: Path) -> None:
    engine = case.engine(case.write(tmp_path), mode="invariant")
    one, other = case.batch(seed=1, size=2, shared=0)
    engine.forward([one, other, one])
    needed = sum(each.reads[-1] + 1 for each in (one, other))
    assert engine.counts().computed == needed
    engine.forward([one])
    assert engine.counts().computed == needed + one.reads[-1] + 1


def _assert_same_bits(first: list[Values], second: list[Values]) -> None:
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
