"""Options that an engine would ignore are refused when it is opened, with what to write instead."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import checkpoints
import engine_case as case
from stepscore.config import EngineOptions
from stepscore.engine.open import open_engine
from stepscore.errors import EngineError, InvalidOption, UnsupportedByEngine
from stepscore.scoring.open import open_scorer

SERVER = "vllm:http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("torch:cuda", "the engine torch has no address; write torch instead of torch:cuda"),
        ("torch:", "write torch instead"),
        ("fake:http://h", "write fake instead"),
        ("vllm:localhost:8000", "'localhost:8000' is not the address of a vLLM server; write vllm:http://HOST:PORT"),
        ("vllm:ftp://h", "write vllm:http://HOST:PORT"),
        ("vllm:http://", "'http://' is not the address"),
        ("vllm:https:///v1", "write vllm:http://HOST:PORT"),
        ("vllm:", "'' is not the address"),
    ],
)
def test_an_address_that_no_engine_would_use_is_refused(engine: str, said: str, tmp_path: Path) -> None:
    facts = case.write(tmp_path)
    with pytest.raises(InvalidOption, match=said):
        open_engine(facts, case.CLASS_HEAD, EngineOptions(device="cpu"), engine)


@pytest.mark.parametrize(
    ("engine", "options", "said"),
    [
        ("torch", {"mode": "reference", "compile": "on"}, "compile=on is refused: plain transformers"),
        ("torch", {"mode": "reference", "cuda_graphs": "on"}, "leave cuda_graphs at auto"),
        ("torch", {"mode": "invariant", "compile": "on"}, "compile=on is refused: mode invariant"),
        (SERVER, {"mode": "invariant"}, "mode=invariant is refused: vLLM .* choose engine torch"),
        (SERVER, {"mode": "reference"}, "mode=reference is refused"),
        (SERVER, {"compile": "on"}, "compile=on is refused: vLLM runs the forwards"),
        ("vllm", {"cuda_graphs": "on"}, "cuda_graphs=on is refused: vLLM"),
    ],
)
def test_a_promise_that_the_engine_cannot_keep_is_refused(
    engine: str, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    facts = case.write(tmp_path)
    with pytest.raises(UnsupportedByEngine, match=said):
        open_engine(facts, case.CLASS_HEAD, EngineOptions(device="cpu", dtype="float32", **options), engine)


@pytest.mark.parametrize("mode", ["fast", "invariant"])
def test_an_engine_that_closes_under_its_calls_answers_them_or_says_so(mode: str, tmp_path: Path) -> None:
    facts, batch = case.write(tmp_path), case.batch(1, size=12)
    engine = case.engine(facts, mode=mode, kv_cache_bytes=0)
    expected, start = engine.forward(batch), threading.Barrier(4)

    def answer_for_ever() -> None:
        while True:
            case.assert_close(engine.forward(batch), expected)

    def call() -> None:
        start.wait()
        with pytest.raises(EngineError, match="this engine was closed; open it again"):
            answer_for_ever()

    with ThreadPoolExecutor() as threads:
        calls = [threads.submit(call) for _ in range(3)]
        start.wait()
        engine.close()
        for each in calls:
            each.result(timeout=60)


@pytest.mark.parametrize(
    ("count", "said"), [(0, "cannot be below 1"), (-2, "cannot be below 1"), ("2", "whole number"), (True, "whole")]
)
def test_a_number_of_engines_that_is_none_is_refused(count: Any, said: str, tmp_path: Path) -> None:
    folder = checkpoints.qwen_math(tmp_path / "tiny")
    with pytest.raises(InvalidOption, match=f"data_parallel is .*{said}"):
        open_scorer(str(folder), data_parallel=count)
