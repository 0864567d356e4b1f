"""The CUDA path against the CPU's fp32 numbers."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import engine_case as case
from stepscore.engine.torch.engine import TorchEngine
from stepscore.family.heads import VocabularyHead
from stepscore.types import Encoded

pytestmark = [
    pytest.mark.gpu,
    # What PyTorch's own modules say while they compile is shown, and no error: it differs by version and machine
    # (2.11 imports TorchScript, which is deprecated; float32 without TensorFloat32 is advised against).
    pytest.mark.filterwarnings(r"default:::(torch|triton)\b"),
]


@pytest.mark.parametrize("mode", ["fast", "invariant"])
def test_fp32_on_cuda_equals_the_cpu(tmp_path: Path, mode: str) -> None:
    facts = case.write(tmp_path)
    sequences = case.batch(seed=1)
    cuda = case.engine(facts, device="cuda", mode=mode)
    case.assert_close(cuda.forward(sequences), case.engine(facts).forward(sequences))


@pytest.mark.parametrize("window", [None, 12])
def test_varlen_attention_in_bfloat16_stays_near_fp32(tmp_path: Path, window: int | None) -> None:
    facts = case.write(tmp_path, "mistral", sliding_window=window, head_dim=32, hidden_size=32)
    sequences = case.batch(seed=2)
    exact = case.engine(facts).forward(sequences)
    engine = case.engine(facts, device="cuda", dtype="bfloat16", max_batch_tokens=90)
    widest = max(float(abs(one).max()) for one in exact)
    for rough in (engine.forward(sequences), engine.forward(sequences[::-1])[::-1]):
        assert all(abs(one - other).max() < 0.1 * widest for one, other in zip(exact, rough, strict=True))


@pytest.mark.parametrize(("size", "longest"), [(4, 20), (12, 60), (3, 300)])
def test_graphs_on_cuda_give_the_numbers_of_launched_forwards(tmp_path: Path, size: int, longest: int) -> None:
    """Calls that extend each other, over graphs that are used again: few rows, many segments, long ones."""
    facts = case.write(tmp_path, head_dim=32)
    options = {"device": "cuda", "dtype": "bfloat16", "compile": "off"}
    graphs, launched = (case.engine(facts, cuda_graphs=wanted, **options) for wanted in ("on", "off"))
    exact = case.engine(facts)
    for seed in range(8):
        batch = case.batch(seed // 2, size=size + seed % 2, longest=longest)
        found, plain, wanted = (each.forward(batch) for each in (graphs, launched, exact))
        widest = max(1.0, *(float(abs(one).max()) for one in wanted))
        assert all(abs(one - other).max() < 0.1 * widest for one, other in zip(wanted, found, strict=True))
        assert all(abs(one - other).max() < 0.1 * widest for one, other in zip(plain, found, strict=True))
    assert graphs.small is not None
    assert graphs.small.fault is None
    assert launched.small is None


def test_a_few_rows_over_a_long_past_on_cuda_give_the_numbers_of_the_cpu(tmp_path: Path) -> None:
    facts = case.write(tmp_path, head_dim=32, max_position_embeddings=4096)
    engine = case.engine(facts, device="cuda", dtype="bfloat16", compile="off", cuda_graphs="on")
    exact = case.engine(facts)
    ids = tuple(random.Random(1).choices(range(case.VOCABULARY), k=2600))
    for length in (2500, 2510, 2531, 2600):
        known = [Encoded(ids[:length], (length - 5, length - 1))]
        (found,), (wanted,) = engine.forward(known), exact.forward(known)
        assert abs(found - wanted).max() < 0.1 * max(1.0, abs(wanted).max())
    assert engine.small is not None
    assert engine.small.fault is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_chunks_on_cuda_stay_near_one_forward(tmp_path: Path, dtype: str) -> None:
    """A sequence of many forwards, beside the searches that share its beginning; GQA over slots and rows."""
    facts = case.write(tmp_path, head_dim=32)
    sequences = case.batch(seed=4, size=12, longest=400)
    exact = case.engine(facts).forward(sequences)
    engine = case.engine(facts, device="cuda", dtype=dtype, max_batch_tokens=64)
    widest = max(1.0, *(float(abs(one).max()) for one in exact))
    allowed = case.TOLERANCE if dtype == "float32" else 0.1
    for rough in (engine.forward(sequences), engine.forward(sequences)):
        assert all(abs(one - other).max() < allowed * widest for one, other in zip(exact, rough, strict=True))


def test_scores_on_cuda_do_not_depend_on_company(tmp_path: Path) -> None:
    facts = case.write(tmp_path, head_dim=32)
    sequences = case.batch(seed=3, size=10, longest=150)
    engine = case.engine(facts, device="cuda", dtype="bfloat16", mode="invariant")
    together = engine.forward(sequences)
    for one, values in zip(sequences, together, strict=True):
        assert np.array_equal(engine.forward([one])[0], values)


def recording(folder: Path, **options: object) -> TorchEngine:
    small = {"kv_cache_bytes": 1 << 24, "compile": "off", "cuda_graphs": "on"}
    return case.engine(case.write(folder, head_dim=32), device="cuda", dtype="bfloat16", **small | options)


def test_graphs_are_recorded_anew_after_all_of_them_were_dropped(tmp_path: Path) -> None:
    """vllm#28426: PyTorch refuses to record into a pool of memory whose graphs are all gone."""
    engine, batch = recording(tmp_path), case.batch(1, size=4)
    before = engine.forward(batch)
    assert engine.small is not None
    for _ in range(3):
        engine.small.forget()
        engine.purge()
        assert all(np.array_equal(one, other) for one, other in zip(before, engine.forward(batch), strict=True))
    assert engine.small.fault is None


def test_engines_in_threads_of_their_own_record_at_the_same_time(tmp_path: Path) -> None:
    """As a reload does beside the engine that serves (TensorRT#2888)."""
    engines = [recording(tmp_path / str(number)) for number in range(3)]
    batches = [case.batch(seed, size=size, longest=60) for seed, size in enumerate((1, 2, 4, 8, 12) * 2)]
    wanted = [case.engine(case.write(tmp_path / "exact", head_dim=32)).forward(batch) for batch in batches]

    def run(engine: TorchEngine) -> None:
        for batch, exact in zip(batches, wanted, strict=True):
            widest = max(1.0, *(float(abs(one).max()) for one in exact))
            found = engine.forward(batch)
            assert all(abs(one - other).max() < 0.1 * widest for one, other in zip(exact, found, strict=True))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(run, engines))
    assert [engine.small.fault for engine in engines if engine.small is not None] == [None] * 3


def test_an_engine_is_not_harmed_by_the_end_of_those_before_it(tmp_path: Path) -> None:
    """Reloads: each new engine records before the old one is closed, on the same thread (pytorch#193402)."""
    batches = [case.batch(seed, size=size, longest=60) for seed, size in enumerate((1, 4, 12))]
    engine, exact = recording(tmp_path), case.engine(case.write(tmp_path / "exact", head_dim=32))
    wanted = [exact.forward(batch) for batch in batches]
    for _ in range(4):
        new = recording(tmp_path)
        for batch in batches:
            new.forward(batch)
        engine.close()
        engine = new
        others = [torch.full((1 << 24,), float("nan"), device="cuda") for _ in range(16)]
        engine.purge()
        for batch, values in zip(batches, wanted, strict=True):
            widest = max(1.0, *(float(abs(one).max()) for one in values))
            found = engine.forward(batch)
            assert all(abs(one - other).max() < 0.1 * widest for one, other in zip(values, found, strict=True))
        assert all(bool(each.isnan().all()) for each in others), "what was freed is nobody's scratch"
    assert engine.small is not None
    assert engine.small.fault is None


def test_recordings_share_the_memory_of_the_libraries(tmp_path: Path) -> None:
    """On Hopper cuBLAS has 32 MiB for each stream that it is used on."""
    engine = recording(tmp_path, kv_cache_bytes=1 << 20)
    engine.forward(case.batch(1, size=1, longest=5))
    before = torch.cuda.memory_allocated()
    for size in (2, 3, 5, 8, 13, 21, 30):
        engine.purge()
        engine.forward(case.batch(size, size=size, longest=60))
    assert engine.small is not None
    assert len(engine.small._recordings) > 4
    assert torch.cuda.memory_allocated() - before < 100 << 20


def test_a_closed_engine_returns_its_memory_to_the_device(tmp_path: Path) -> None:
    def free() -> int:
        return int(torch.cuda.mem_get_info()[0])

    recording(tmp_path / "first").close()  # what PyTorch's libraries take once
    before = free()
    for number in range(3):
        engine = recording(tmp_path / str(number), kv_cache_bytes=1 << 30)
        engine.forward(case.batch(number, size=6))
        assert free() < before - (1 << 29)
        engine.close()
        assert free() > before - (1 << 27)


def test_weights_in_8_bits_take_the_place_of_the_others(tmp_path: Path) -> None:
    shape = {"hidden_size": 1024, "intermediate_size": 8192, "num_attention_heads": 8, "num_key_value_heads": 2}
    facts = case.write(tmp_path, head_dim=128, head=False, **shape)
    engine = case.engine(facts, VocabularyHead((3, 4)), device="cuda", dtype="bfloat16", compile="off")
    batch = case.batch(1, size=4)
    before, taken = engine.forward(batch), torch.cuda.memory_allocated()
    engine.quantize("int8")
    assert torch.cuda.memory_allocated() < taken - (1 << 26), "three layers of 57 MB each in bfloat16"
    widest = max(1.0, *(float(abs(one).max()) for one in before))
    after = engine.forward(batch)
    assert all(abs(one - other).max() < 0.4 * widest for one, other in zip(before, after, strict=True))
