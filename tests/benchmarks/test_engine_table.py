"""The engine's benchmark at a tiny size: every way, the exact counts, the table, going on after a stop."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import checkpoints
import tokenizers_for_tests as tokenizers
from stepscore.checkpoint import read_facts
from stepscore.errors import UnsupportedByEngine
from stepscore.types import Encoded, Values

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.engine.measure import largest_difference, matmul_peak, run, warming  # noqa: E402
from benchmarks.engine.rows import Row, RowFile  # noqa: E402
from benchmarks.engine.run import Bench, every  # noqa: E402
from benchmarks.engine.search_and_learn import refusal  # noqa: E402
from benchmarks.engine.subjects import (  # noqa: E402
    CLASSES,
    OWN,
    SHAPES,
    Subject,
    probability_of_class,
    reward_of_token,
    write_checkpoint,
)
from benchmarks.engine.table import command, table  # noqa: E402
from benchmarks.engine.ways import KEEPS, LOOP, Ways  # noqa: E402
from benchmarks.engine.workloads import RandomSource, Sizes, Workload, read_at, with_targets, workloads  # noqa: E402

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
}


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("classes")
    return Subject("tiny", write_checkpoint(folder, SHAPE), CLASSES, probability_of_class)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("own")
    tokenizer = tokenizers.qwen()
    config = checkpoints.decoder_config("llama", tokenizer, vocab_size=64, tie_word_embeddings=True)
    checkpoints.save(folder, config, checkpoints.backbone_state(config), tokenizer, "LlamaForCausalLM")
    return Subject("own", read_facts(folder), OWN, partial(reward_of_token, slope=1.0, offset=0.0))


def measure(subject: Subject, sample: int = 0) -> dict[str, dict[str, Row]]:
    ways = Ways(subject, "cpu", "float32", None, kv_cache_bytes=1 << 20)
    found = list(workloads(RandomSource(64), 63, Sizes(count=4, rounds=2, nodes=5)))
    work = list(map(with_targets, found)) if subject.reads_targets else found
    bench = Bench(ways, peak=1e9, sample=sample, in_vllm={})
    return {each.name: {row.way: row for row in bench.rows(each)} for each in work}


@pytest.mark.parametrize("name", ["classes", "language_model"])
def test_every_way_gives_the_rewards_of_the_loop(name: str, request: pytest.FixtureRequest) -> None:
    rows = measure(request.getfixturevalue(name))
    assert [len(ways) for ways in rows.values()] == [6, 6, 6, 2]
    assert all(row.difference < 1e-5 for ways in rows.values() for row in ways.values())
    assert {ways[LOOP].computed - ways[LOOP].asked for ways in rows.values()} == {0}


@pytest.mark.gpu
def test_a_gpu_is_measured_in_bfloat16(tmp_path: Path) -> None:
    subject = Subject("tiny", write_checkpoint(tmp_path, SHAPES["tiny"], "cuda"), CLASSES, probability_of_class)
    ways = Ways(subject, "cuda", "bfloat16", None, kv_cache_bytes=1 << 20)
    bench = Bench(ways, matmul_peak(torch.bfloat16, "cuda"), sample=0, in_vllm={})
    (rerank,) = [each for each in workloads(RandomSource(512), 511, Sizes(4, 2, 5)) if "rerank" in each.name]
    rows = list(bench.rows(rerank))
    assert {row.way for row in rows} >= {LOOP, KEEPS}
    assert all(row.seconds > 0 and row.difference < 0.1 for row in rows)


def test_what_is_kept_is_not_computed_again(classes: Subject) -> None:
    tree = measure(classes)["tree of 5"]
    (work,) = [each for each in workloads(RandomSource(64), 63, Sizes(4, 2, 5)) if each.name == "tree of 5"]
    new = {one.ids[: place + 1] for call in work.calls for one in call for place in range(one.reads[-1] + 1)}
    assert tree[KEEPS].computed == len(new)


class Counting:
    """A way that gives the number of tokens, and counts them."""

    computed = purges = 0

    def __call__(self, call: Sequence[Encoded]) -> list[Values]:
        self.computed += sum(len(one.ids) for one in call)
        return [np.full((len(one.reads), 2), len(one.ids), np.float32) for one in call]

    def purge(self) -> None:
        self.purges += 1


def test_on_a_gpu_the_median_of_warm_runs_counts() -> None:
    """A cold run, then three: 1, 9 and 2 seconds; nothing is kept from one to the next."""
    work, runner = Workload("it", [[read_at([1] * 8, 9)]]), Counting()
    ticks = iter([0.0, 50.0, 0.0, 1.0, 0.0, 9.0, 0.0, 2.0])
    found = run(work, runner, 1, lambda: next(ticks), warming(9, reads_targets=False), repeats=3)
    assert (found.seconds, found.computed, runner.purges) == (2.0, 10, 3)


def test_a_way_that_is_refused_leaves_the_other_rows(classes: Subject, capsys: pytest.CaptureFixture[str]) -> None:
    """PyTorch 2.11 has no flash attention for mode invariant."""
    ways = Refusing(classes, "cpu", "float32", None, kv_cache_bytes=1 << 20)
    (singles, *_) = workloads(RandomSource(64), 63, Sizes(count=4, rounds=2, nodes=5))
    rows = list(Bench(ways, peak=1e9, sample=0, in_vllm={}).rows(singles))
    assert {row.way for row in rows} >= {LOOP, KEEPS}
    assert not any("invariant" in row.way for row in rows)
    assert "engine, invariant is left out: no num_splits" in capsys.readouterr().err


class Refusing(Ways):
    """Ways of a machine on which mode invariant is refused."""

    def _engine(self, name: str) -> Callable[[], Any]:
        def refused() -> Any:
            raise UnsupportedByEngine("no num_splits")

        return refused if "invariant" in name else super()._engine(name)


def test_a_sampled_workload_is_scaled_by_tokens() -> None:
    work = Workload("it", [[read_at([1] * length, 9)] for length in (8, 18, 28, 38)])
    ticks = iter([0.0, 3.0])
    found = run(work, Counting(), 2, lambda: next(ticks), warming(9, reads_targets=False))
    assert list(found.found) == [1, 3]
    assert (found.computed, found.seconds) == (100, pytest.approx(3.0 * 100 / 60))


def test_sampling_never_leaves_a_workload_out() -> None:
    work = Workload("it", [[read_at([1] * 98, 9)] for _ in range(4)])
    assert [every(work, sample) for sample in (0, 1000, 200, 1)] == [1, 1, 2, 4]
    for number in (1, 2, 4):
        assert run(work, Counting(), number, lambda: 0.0, warming(9, reads_targets=False)).found


def test_the_largest_difference_is_over_calls_that_both_ran() -> None:
    one, other = np.array([[0.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
    found = largest_difference({0: [one], 4: [one]}, {0: [other], 1: [one]}, probability_of_class)
    assert found == pytest.approx(1 / (1 + np.exp(-1.0)) - 0.5)


def test_the_table_compares_with_each_peer_that_ran() -> None:
    rows = [Row("w", LOOP, 100, 100, 2.0, 0.5, 0.0), Row("w", KEEPS, 100, 50, 0.5, 0.25, 1e-6)]
    header, _, loop, ours = table(rows).splitlines()
    assert header.count("|") == loop.count("|") == ours.count("|")
    cells = [cell.strip() for cell in ours.strip("|").split("|")]
    assert cells == ["w", KEEPS, "100", "50", "0.5", "200", "25", "4.00", "-", "-", "-", "-", "1.0e-06"]


def test_the_command_names_no_folder_of_this_machine() -> None:
    assert command(["--count", "4", "--data", "/home/me/data"]) == "--count 4 --data DATA"


def test_rows_of_a_stopped_run_are_found_again(tmp_path: Path) -> None:
    row = Row("w", LOOP, 100, 100, 2.0, 0.5, 0.0)
    file = tmp_path / "rows.jsonl"
    RowFile(file, {"dtype": "float32"}).append("w", [row])
    with file.open("a") as stream:
        stream.write(json.dumps({"settings": {}})[:-1])
    again = RowFile(file, {"dtype": "float32"})
    assert again.done == {"w": [row]}
    again.append("v", [])
    assert RowFile(file, {"dtype": "float32"}).done == {"w": [row], "v": []}
    assert RowFile(file, {"dtype": "bfloat16"}).done == {}


def test_a_missing_checkout_is_named(tmp_path: Path) -> None:
    assert "--search-and-learn" in refusal(None)
    assert "no checkout" in refusal(tmp_path)
