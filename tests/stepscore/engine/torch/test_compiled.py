"""Compiled layers: one graph, from one attention to the next, for every layer and forward, with the same numbers."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

import engine_case as case
from benchmarks.gpu_first.bench import Sizes
from cli_case import run_python
from stepscore.engine.torch.compiling import compiles, graphs
from stepscore.engine.torch.packed_linear import packs
from stepscore.engine.torch.packing import Segment, pack
from stepscore.errors import UnsupportedByEngine

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
@pytest.mark.filterwarnings("ignore")  # those of torch's compiler about itself
def test_one_graph_for_many_shapes_and_equal_numbers(tmp_path: Path, kind: str) -> None:
    facts = case.write(tmp_path, kind)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    engine, plain = case.engine(facts, compile="on", max_batch_tokens=90), case.engine(facts)
    for size in (12, 1, 3, 7, 2):
        for seed in (1, 2):
            sequences = case.batch(seed, size=size)
            case.assert_close(engine.forward(sequences), plain.forward(sequences))
            case.assert_close(engine.forward(sequences[::-1]), plain.forward(sequences[::-1]))
    engine.forward([case.Encoded((5,), (0,))])
    assert graphs() == (1, 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of torch's compiler about itself
def test_a_process_opens_more_architectures_than_torch_compiles_a_function_for(tmp_path: Path) -> None:
    """pytorch#167504, vllm#27519: past the limit (8 graphs; 2 here) a function that must be one graph is an error."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with torch._dynamo.config.patch(recompile_limit=2):
        for kind in ("qwen2", "qwen3", "llama"):
            engine = case.engine(case.write(tmp_path / kind, kind), compile="on")
            assert len(engine.forward(case.batch(1, size=2))) == 2
    assert graphs() == (3, 0)


@pytest.mark.slow
@pytest.mark.skipif(not packs("fast", CPU, torch.bfloat16), reason="oneDNN has no bfloat16 products on this CPU")
@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
@pytest.mark.filterwarnings("ignore")  # those of torch's compiler about itself
def test_packed_layers_compile_one_norm_and_one_rotation_when_they_are_opened(tmp_path: Path, kind: str) -> None:
    facts = case.write(tmp_path, kind)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    engine, plain = (case.engine(facts, compile=each, dtype="bfloat16") for each in ("on", "off"))
    assert graphs() == (2, 0)
    exact = case.engine(facts)
    sequences = [each for size in (12, 1, 3, 40) for each in case.batch(size, size=size)]
    wanted = exact.forward(sequences)
    assert case.largest(engine.forward(sequences), wanted) <= 1.5 * case.largest(plain.forward(sequences), wanted)
    for length in (127, 128, 129, 300):
        engine.forward([case.Encoded((5,) * length, (length - 1,))])
    assert graphs() == (2, 0)


OPEN = """
import sys
from pathlib import Path
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions
from stepscore.engine.open import open_engine
from stepscore.errors import UnsupportedByEngine
from stepscore.family.heads import LinearHead
head = LinearHead(("score.0", "score.2"), 2)
try:
    open_engine(read_facts(Path()), head, EngineOptions("cpu", "float32", compile="on"))
except UnsupportedByEngine as refusal:
    print(refusal)
"""


def test_compile_on_is_refused_if_there_is_no_compiler(tmp_path: Path) -> None:
    done = run_python(case.write(tmp_path).path, "-c", OPEN, CXX="/nowhere/g++")
    assert done.stdout == ("compile is refused: on a CPU it needs a C++ compiler; install g++, or name one in CXX\n"), (
        done.stderr
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of torch's compiler about itself
def test_weights_that_are_exchanged_again_and_again_compile_once_and_are_freed(tmp_path: Path) -> None:
    """pytorch#122969: what was compiled must not hold the weights of an engine that is closed."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for seed in range(3):
        engine = case.engine(case.write(tmp_path / str(seed), seed=seed), compile="on")
        engine.forward(case.batch(seed))
        (model,) = engine.models
        held = [weakref.ref(layer.gate_up.weight) for layer in model.decoder.layers]
        held += [weakref.ref(each) for each in model.pool.layers]
        del model
        engine.close()
        assert not any(each() is not None for each in held)
    assert graphs() == (1, 0)


OF_THE_BENCHMARK = [*Sizes().forwards.values(), *Sizes().small.values()]
EQUAL = [(1, 16, 16), (2, 2, 2), (1, 2, 0)]
"""Segments, tokens of each and cached ones before each: in the benchmark of a GPU, and with sizes that are equal."""


class Nothing:
    """In the place of attention, which no graph contains."""

    def __call__(self, query_THE: torch.Tensor, *rest: object) -> torch.Tensor:
        return query_THE


@pytest.mark.slow
@pytest.mark.parametrize("first", [OF_THE_BENCHMARK[0], OF_THE_BENCHMARK[-1], *EQUAL])
@pytest.mark.filterwarnings("ignore")  # those of torch's compiler about itself
@torch.inference_mode()
def test_one_graph_whatever_shape_comes_first(tmp_path: Path, first: tuple[int, int, int]) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    (model,) = case.engine(case.write(tmp_path)).models
    model.decoder.attention_for = lambda *unused: Nothing()
    model.decoder.compile()
    for segments, size, cached in (first, *OF_THE_BENCHMARK, *EQUAL):
        made = [Segment(row, row + size, cached, np.arange(cached)) for row in range(0, segments * size, size)]
        work = pack([5] * segments * size, made, [(each.stop - 1, -1) for each in made])
        model.decoder.forward(model.decoder.load(work, 0), model.pool)
    assert graphs() == (1, 0)


@pytest.mark.parametrize(
    ("wanted", "mode", "device", "found"),
    [
        ("auto", "fast", CUDA, True),
        ("auto", "fast", CPU, False),
        ("auto", "invariant", CUDA, False),
        ("on", "fast", CPU, True),
        ("off", "fast", CUDA, False),
    ],
)
def test_auto_compiles_on_cuda_in_mode_fast(wanted: Any, mode: Any, device: torch.device, found: bool) -> None:
    assert compiles(wanted, mode, device) == found


def test_mode_invariant_refuses_compiled_layers(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedByEngine, match="compile"):
        case.engine(case.write(tmp_path), mode="invariant", compile="on")


KEEP = """
import os
from stepscore.engine.torch.engine import keep_compiled  # with all that an engine imports
keep_compiled()
print(os.environ.get("TORCHINDUCTOR_CACHE_DIR"))
"""


def kept_in(folder: Path, **variables: str) -> Path:
    variables = {"TORCHINDUCTOR_CACHE_DIR": default_cache_dir(), **variables}  # as a process that loaded torch finds it
    done = run_python(folder, "-c", KEEP, **variables)
    assert done.stderr == ""
    return Path(done.stdout.strip())


def test_what_is_compiled_is_kept_in_our_cache_unless_the_environment_names_another(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert kept_in(tmp_path, XDG_CACHE_HOME=str(cache)) == cache / "stepscore" / "compiled"
    other = tmp_path / "other"
    assert kept_in(tmp_path, XDG_CACHE_HOME=str(cache), TORCHINDUCTOR_CACHE_DIR=str(other)) == other


def test_a_cache_that_cannot_be_written_leaves_what_is_compiled_to_torch(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert kept_in(tmp_path, XDG_CACHE_HOME=str(tmp_path / "file")) == Path(default_cache_dir())
