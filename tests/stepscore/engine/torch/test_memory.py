"""A checkpoint that does not fit is refused before it is loaded; the KV cache says how full it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import engine_case as case
from stepscore.config import AUTO_KV_CACHE
from stepscore.engine.torch.memory import (
    GIB,
    cache_bytes,
    check_memory,
    container_memory,
    machine_memory,
    memory_at_hand,
)
from stepscore.errors import NotEnoughMemory


def test_a_cache_that_cannot_be_had_is_refused_with_both_numbers(tmp_path: Path) -> None:
    facts = case.write(tmp_path)
    with pytest.raises(NotEnoughMemory, match=r"needs \d+\.\d GiB on cpu .* GiB are at hand") as caught:
        case.engine(facts, kv_cache_bytes=1 << 50)
    detail = caught.value.detail
    assert isinstance(detail["needed"], int)
    assert isinstance(detail["at_hand"], int)
    assert detail["needed"] > 1 << 50 > detail["at_hand"] > 0


def test_the_weights_count_in_the_number_format_of_the_forward(tmp_path: Path) -> None:
    facts = case.write(tmp_path)
    elements = sum(torch.Size(shape).numel() for shape in facts.shapes.values())
    for dtype, size in ((torch.float32, 4), (torch.bfloat16, 2)):
        with pytest.raises(NotEnoughMemory) as caught:
            check_memory([facts], 1 << 50, dtype, torch.device("cpu"))
        assert caught.value.detail["needed"] == size * elements + (1 << 50)
    check_memory([facts], 0, torch.float32, torch.device("cpu"))


def test_a_containers_limit_counts_and_its_file_cache_does_not(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 200\n")
    assert container_memory(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert container_memory(tmp_path) is None
    assert container_memory(tmp_path / "absent") is None


def test_what_is_not_known_refuses_nothing(tmp_path: Path) -> None:
    assert machine_memory(tmp_path / "absent") is None
    (tmp_path / "meminfo").write_text("MemTotal:       2000 kB\nMemAvailable:   1000 kB\n")
    assert machine_memory(tmp_path / "meminfo") == 1000 << 10
    assert memory_at_hand(torch.device("cpu")) is None or memory_at_hand(torch.device("cpu")) > 0  # type: ignore[operator]


def test_the_cache_takes_half_of_what_a_gpu_has_left() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert cache_bytes(AUTO_KV_CACHE, cuda, 2 * GIB, free=64 * GIB) == 31 * GIB
    assert cache_bytes(AUTO_KV_CACHE, cuda, 2 * GIB, free=GIB) == 0
    assert cache_bytes(AUTO_KV_CACHE, cpu, 2 * GIB) == GIB
    assert cache_bytes(123, cuda, 2 * GIB, free=64 * GIB) == 123
    assert cache_bytes(0, cuda, 2 * GIB, free=64 * GIB) == 0


def test_the_cache_reports_what_it_keeps_and_what_it_gave_up(tmp_path: Path) -> None:
    engine = case.engine(case.write(tmp_path), kv_cache_bytes=1 << 16)
    capacity = engine.counts().capacity
    assert engine.counts().kept == engine.counts().evicted == 0
    for seed in range(20):
        engine.forward(case.batch(seed, shared=0))
    counts = engine.counts()
    assert 0 < counts.kept <= counts.capacity == capacity
    assert counts.evicted > 0
    engine.purge()
    assert engine.counts().kept == 0
