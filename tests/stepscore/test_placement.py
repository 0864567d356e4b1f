"""What `auto` chooses, and that every page says the same about it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stepscore.config import AUTO_DTYPE, CPU_BFLOAT16, EngineOptions
from stepscore.errors import CheckpointError, UnsupportedByEngine
from stepscore.placement import check_tensor_parallel, choose_device, choose_dtype, cpu_has_bfloat16, place
from stepscore_service.settings import Settings

ROOT = Path(__file__).parents[2]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("Features\t: asimd bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
    ],
)
def test_bfloat16_units_are_read_from_the_flags(
    flags: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CPU_BFLOAT16)
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}")
    assert cpu_has_bfloat16(tmp_path / "cpuinfo") == found


def test_without_flags_there_are_no_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CPU_BFLOAT16)
    assert not cpu_has_bfloat16(tmp_path / "nothing")


@pytest.mark.parametrize(("switch", "dtype"), [("0", torch.float32), ("1", torch.bfloat16)])
def test_the_switch_replaces_the_flags_for_auto_only(
    switch: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CPU_BFLOAT16, switch)
    assert choose_dtype("auto", CPU) == dtype
    assert choose_dtype("auto", CUDA) == torch.bfloat16
    assert choose_dtype("float32", CUDA) == torch.float32
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16


def test_another_value_of_the_switch_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CPU_BFLOAT16, "yes")
    with pytest.raises(CheckpointError, match="0 or 1"):
        choose_dtype("auto", CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_an_error() -> None:
    assert choose_device("auto") == CPU
    with pytest.raises(CheckpointError, match="cuda"):
        choose_device("cuda")


def test_a_model_is_placed_by_its_options_and_its_checkpoint() -> None:
    placed = place("cpu", "bfloat16", 0, longest=4096)
    assert (placed.device, placed.dtype_name, placed.max_tokens) == (CPU, "bfloat16", 4096)
    assert place("cpu", "float32", 64, longest=4096).max_tokens == 64


@pytest.mark.parametrize(
    ("runs", "advice"),
    [
        ("torch", "choose vllm"),
        ("transformers", "choose vllm"),
        ("openai:http://h/v1", "own setting"),
        ("vllm:http://h", "start"),
    ],
)
def test_only_vllm_in_this_process_spreads_a_model(runs: str, advice: str) -> None:
    check_tensor_parallel(1, runs)
    check_tensor_parallel(4, "vllm")
    with pytest.raises(UnsupportedByEngine, match=advice):
        check_tensor_parallel(4, runs)


def test_readme_help_docs_and_docstring_say_the_same_about_auto() -> None:
    pages = [(ROOT / name).read_text() for name in ("README.md", "docs/engine.md")]
    for text in (*pages, EngineOptions.__doc__ or "", Settings.model_fields["dtype"].description or ""):
        assert AUTO_DTYPE in " ".join(text.split())
