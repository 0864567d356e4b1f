"""Solutions that share a row: the same numbers and gradients as each by itself, and each token once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import checkpoints_causal as checkpoints
from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.modeling.batch import TrainBatch, collator
from stepscore_service.jobs.modeling.build import TrainSetup, build
from stepscore_service.jobs.modeling.example import Example
from stepscore_service.jobs.modeling.plan import Learning, Lora, RowLayout, TrainPlan
from stepscore_service.jobs.modeling.prefix_tree import rows_of, tree_of

PROBLEM = "How much is 4 + 4?"
SOLUTIONS = [
    Labelled(Solution(PROBLEM, ("4 + 4 = 8", "Twice that is 16.", "It is 16.")), (1.0, 1.0, 1.0)),
    Labelled(Solution(PROBLEM, ("4 + 4 = 8", "Twice that is 18.")), (None, 0.0)),
    Labelled(Solution(PROBLEM, ("4 + 4 = 9",)), (0.0,)),
    Labelled(Solution("1 + 1?", ("1 + 1 = 2", "So 2.")), (1.0, 1.0)),
    Labelled(Solution("1 + 1?", ("1 + 1 = 3",)), (0.0,)),
]
IDS = st.lists(st.integers(1, 3), min_size=1, max_size=8)


def example(ids: list[int], problem: str = "") -> Example:
    reads = np.array([len(ids) - 1], np.int32)
    return Example(np.array(ids, np.int32), reads, np.zeros(1, np.int32), np.ones(1, np.float32), 1.0, problem=problem)


def trainee_of(folder: Path, kind: str, output: str, **given: float) -> TrainSetup:
    return build(TrainPlan(base=str(checkpoints.causal(folder, kind)), output=output, lora=Lora(), **given))  # type: ignore[arg-type]


def batch_of(setup: TrainSetup, layout: RowLayout) -> TrainBatch:
    examples = list(setup.encoder.examples(SOLUTIONS))
    rows = list(rows_of(examples, 1000)) if layout == "shared" else [(each,) for each in examples]
    assert len(rows) == (2 if layout == "shared" else len(SOLUTIONS))
    return collator(setup.objective, layout)(rows)


def by_solution(setup: TrainSetup, layout: RowLayout) -> dict[tuple[float, ...], torch.Tensor]:
    """Numbers of each solution under its labels, since a row orders its solutions as it likes."""
    batch = batch_of(setup, layout)
    with torch.no_grad():
        numbers = setup.model.eval()(batch)[0]
    labels = batch.targets.per_solution(batch.targets.labels)
    return {
        (*each.nan_to_num(9.0).tolist(), float(own[0, 0])): own
        for each, own in zip(labels, batch.targets.per_solution(numbers), strict=True)
    }


@pytest.mark.parametrize(
    ("kind", "output"),
    [*((kind, "token_classification") for kind in ("qwen2", "llama", "qwen3", "mistral")), ("qwen2", "number_logprob")],
)
def test_numbers_are_those_of_each_solution_alone(tmp_path: Path, kind: str, output: str) -> None:
    setup = trainee_of(tmp_path, kind, output)
    alone, shared = (by_solution(setup, layout) for layout in ("padded", "shared"))
    assert len(alone) == len(SOLUTIONS)
    for one, other in zip(sorted(alone.items()), sorted(shared.items()), strict=True):
        torch.testing.assert_close(one[1], other[1], atol=1e-5, rtol=0)


def test_gradients_are_those_of_each_solution_alone(tmp_path: Path) -> None:
    setup = trainee_of(tmp_path, "qwen2", "number_logprob")
    found = []
    for layout in ("padded", "shared"):
        setup.model.zero_grad()
        batch = batch_of(setup, layout)
        setup.objective.total(setup.model(batch)[0], batch.targets).backward()  # type: ignore[no-untyped-call]
        found.append(
            {name: each.grad.clone() for name, each in setup.model.named_parameters() if each.grad is not None}
        )
    assert found[0].keys() == found[1].keys()
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], atol=1e-5, rtol=1e-4)


def test_a_token_that_solutions_share_is_predicted_once_and_a_mistake_never(tmp_path: Path) -> None:
    setup = trainee_of(tmp_path, "qwen2", "number_logprob", lm_weight=1.0)
    alone, shared = (batch_of(setup, layout) for layout in ("padded", "shared"))
    sound = [each for each in SOLUTIONS if each.first_error() is None]
    expected = sum(len(each.predicted) for each in setup.encoder.examples(sound))
    assert shared.predictions == expected < alone.predictions
    learnt = "".join(setup.base.tokenizer.decode(alone.predicted.tolist()))
    assert "18" not in learnt
    assert "9" not in learnt


def test_a_sliding_window_that_a_tree_would_lose_is_refused(tmp_path: Path) -> None:
    base = checkpoints.causal(tmp_path, "mistral", sliding_window=64)
    plan = TrainPlan(base=str(base), output="token_classification", learning=Learning(share_prefixes=True))
    with pytest.raises(InvalidInput, match="--max-tokens 64"):
        build(plan)
    build(replace(plan, learning=Learning(share_prefixes=True, max_tokens=64)))


@given(st.lists(IDS, min_size=1, max_size=6))
def test_a_tree_holds_every_distinct_prefix_once_and_sees_its_own_way(sequences: list[list[int]]) -> None:
    (row,) = rows_of([example(ids) for ids in sequences], limit=1000)
    tree = tree_of(row)
    assert tree.size == len({tuple(ids[: end + 1]) for ids in sequences for end in range(len(ids))})
    ids, depths, sees = tree.tokens()
    for each, places in zip(row, tree.places, strict=True):
        assert ids[places].tolist() == each.ids.tolist()
        assert depths[places].tolist() == list(range(len(places)))
        for depth, place in enumerate(places):
            assert sorted(np.flatnonzero(sees[place])) == sorted(places[: depth + 1])


@given(st.lists(st.tuples(st.sampled_from("ab"), IDS), min_size=1, max_size=8), st.integers(1, 12))
def test_rows_hold_every_solution_once_one_problem_each_within_the_limit(
    given_: list[tuple[str, list[int]]], limit: int
) -> None:
    rows = list(rows_of([example(ids, problem) for problem, ids in given_], limit))
    assert sorted((each.problem, each.ids.tolist()) for row in rows for each in row) == sorted(given_)
    assert all(len({each.problem for each in row}) == 1 for row in rows)
    assert all(tree_of(row).size <= limit or len(row) == 1 for row in rows)
