"""vLLM itself against the torch engine, on tiny checkpoints in fp32 (make test-vllm: an environment of its own)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import checkpoints
import engine_case as case
import tokenizers_for_tests as tokenizers
from stepscore.checkpoint import read_facts
from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.open import open_engine
from stepscore.heads import Head, LinearHead, VocabularyHead
from stepscore.types import Encoded

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]

WIDTH, MARKER = 128, 60
CLASSES = LinearHead(("score.0", "score.2"), outputs=2)
LABELS = LinearHead(("score",), outputs=2)
PAIR = VocabularyHead((7, 3))


def write(folder: Path, architecture: str, head: dict[str, Any]) -> CheckpointFacts:
    """Wide enough for vLLM's attention kernels, which know no heads of width 8."""
    tokenizer = tokenizers.qwen()
    shape = {"vocab_size": case.VOCABULARY, "hidden_size": WIDTH, "head_dim": WIDTH // 4}
    config = checkpoints.decoder_config("qwen2", tokenizer, **shape)
    state = {key: value * 0.5 for key, value in checkpoints.backbone_state(config).items()}
    checkpoints.save(folder, config, state | head, tokenizer, architecture)
    return read_facts(folder)


def sequences() -> list[Encoded]:
    """Prefix-sharing sequences read at their markers."""
    made = []
    for one in case.batch(seed=1, size=6):
        ids = tuple(MARKER if place in one.reads else token % MARKER for place, token in enumerate(one.ids))
        made.append(Encoded(ids, one.reads))
    return made


@pytest.mark.parametrize(
    ("architecture", "head", "state"),
    [
        (
            "Qwen2ForProcessRewardModel",
            CLASSES,
            checkpoints.linear("score.0", WIDTH, WIDTH) | checkpoints.linear("score.2", 2, WIDTH),
        ),
        ("Qwen2ForTokenClassification", LABELS, checkpoints.linear("score", 2, WIDTH)),
    ],
)
def test_class_heads_in_process(tmp_path: Path, architecture: str, head: Head, state: dict[str, Any]) -> None:
    facts = write(tmp_path, architecture, state)
    options = EngineOptions(device="cpu", dtype="float32", max_tokens=256)
    engine = open_engine(facts, head, options, engine="vllm")
    found = engine.forward(sequences())
    engine.close()
    case.assert_close(found, open_engine(facts, head, options).forward(sequences()))


def test_vocabulary_pairs_in_process(tmp_path: Path) -> None:
    """vLLM gives log-probabilities, which differ from logits by one number for each position."""
    head = {"lm_head.weight": checkpoints.linear("lm_head", case.VOCABULARY, WIDTH, bias=False)["lm_head.weight"] * 0.2}
    facts = write(tmp_path, "Qwen2ForCausalLM", head)
    options = EngineOptions(device="cpu", dtype="float32", max_tokens=256)
    engine = open_engine(facts, PAIR, options, engine="vllm")
    found = engine.forward(sequences())
    engine.close()
    wanted = open_engine(facts, PAIR, options).forward(sequences())
    case.assert_close([rows[:, 0] - rows[:, 1] for rows in found], [rows[:, 0] - rows[:, 1] for rows in wanted])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[CheckpointFacts, str]]:
    """A vLLM server with STEP pooling at our marker."""
    state = checkpoints.linear("score.0", WIDTH, WIDTH) | checkpoints.linear("score.2", 2, WIDTH)
    facts = write(tmp_path / "prm", "Qwen2ForProcessRewardModel", state)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pooler = f'{{"tok_pooling_type":"STEP","step_tag_id":{MARKER}}}'
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--model", str(facts.path), "--runner", "pooling", "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "256", "--pooler-config", pooler]
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server)
            yield facts, f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(60)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "the server ended before it was ready"
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass  # not listening yet
        time.sleep(1)
    raise AssertionError("the server was not ready in time")


def test_class_heads_at_a_server_with_step_pooling(served: tuple[CheckpointFacts, str]) -> None:
    facts, address = served
    options = EngineOptions(device="cpu", dtype="float32", max_tokens=256)
    found = open_engine(facts, CLASSES, options, engine=f"vllm:{address}").forward(sequences())
    case.assert_close(found, open_engine(facts, CLASSES, options).forward(sequences()))
