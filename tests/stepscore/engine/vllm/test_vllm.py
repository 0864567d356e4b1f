"""vLLM itself against the torch engine, in fp32, on tiny checkpoints and on the embedded one.

make test-vllm: an environment of its own. Every model is opened once; vLLM takes half a minute to start.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import checkpoints
import embedded_case
import engine_case as case
import tokenizers_for_tests as tokenizers
from stepscore.checkpoint import read_facts
from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.open import open_engine
from stepscore.family.heads import Head, LinearHead, TokenLogProbHead, VocabularyHead
from stepscore.scoring.open import open_scorer
from stepscore.types import Encoded, Reading, Solution, Values

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]

WIDTH, MARKER = 128, 60
CLASSES = LinearHead(("score.0", "score.2"), outputs=2)
LABELS = LinearHead(("score",), outputs=2)
PAIR = VocabularyHead((7, 3))
OWN = TokenLogProbHead(reference=False)
TINY = EngineOptions(device="cpu", dtype="float32", max_tokens=256)


def write(folder: Path, architecture: str, head: dict[str, Any]) -> CheckpointFacts:
    """Wide enough for vLLM's attention kernels, which know no heads of width 8."""
    tokenizer = tokenizers.qwen()
    shape = {"vocab_size": case.VOCABULARY, "hidden_size": WIDTH, "head_dim": WIDTH // 4}
    config = checkpoints.decoder_config("qwen2", tokenizer, **shape)
    state = {key: value * 0.5 for key, value in checkpoints.backbone_state(config).items()}
    checkpoints.save(folder, config, state | head, tokenizer, architecture)
    return read_facts(folder)


def language_model(folder: Path) -> CheckpointFacts:
    rows = checkpoints.linear("lm_head", case.VOCABULARY, WIDTH, bias=False)["lm_head.weight"] * 0.2
    return write(folder, "Qwen2ForCausalLM", {"lm_head.weight": rows})


def sequences() -> list[Encoded]:
    """Prefix-sharing sequences read at their markers."""
    made = []
    for one in case.batch(seed=1, size=6):
        ids = tuple(MARKER if place in one.reads else token % MARKER for place, token in enumerate(one.ids))
        made.append(Encoded(ids, one.reads))
    return made


def own_tokens() -> list[Encoded]:
    """Read before their own tokens, and one before a token that does not follow."""
    made = [
        Encoded(one.ids, one.reads[:-1], tuple(one.ids[read + 1] for read in one.reads[:-1])) for one in sequences()
    ]
    return [*made, Encoded((5, 6, 7), (0, 2), (6, 9))]


def computed(facts: CheckpointFacts, head: Head, batch: Sequence[Encoded], engine: str) -> list[Values]:
    with closing(open_engine(facts, head, TINY, engine=engine)) as running:
        return running.forward(batch)


def difference(rows: Values) -> Values:
    """vLLM gives log-probabilities, which differ from logits by one number for each position."""
    return rows[:, 0] - rows[:, 1]


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
    found = computed(facts, head, sequences(), "vllm")
    case.assert_close(found, open_engine(facts, head, TINY).forward(sequences()))


def test_vocabulary_pairs_in_process(tmp_path: Path) -> None:
    facts = language_model(tmp_path)
    found = computed(facts, PAIR, sequences(), "vllm")
    wanted = open_engine(facts, PAIR, TINY).forward(sequences())
    case.assert_close(list(map(difference, found)), list(map(difference, wanted)))


def test_own_tokens_in_process(tmp_path: Path) -> None:
    facts = language_model(tmp_path)
    found = computed(facts, OWN, own_tokens(), "vllm")
    case.assert_close(found, open_engine(facts, OWN, TINY).forward(own_tokens()))


SOLUTIONS = (
    Solution("Sue has 12 apples and gives 5 away. How many are left?", ("12 - 5 = 7 apples are left.", "So 7.")),
    Solution("Sue has 12 apples and gives 5 away. How many are left?", ("12 - 5 = 8 apples are left.", "So 8.")),
    Solution("A shirt costs $20 and is 25% off. What is the price?", ("25% of 20 is 5.", "20 - 5 = $15.", "Done.")),
)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param("embedded", marks=embedded_case.needed),
        pytest.param("embedded-head", marks=embedded_case.head_needed),
    ],
)
def test_the_checkpoints_that_ship_in_process(model: str) -> None:
    options = EngineOptions(device="cpu", dtype="float32", max_tokens=256)
    engine = open_scorer(model, options=options, engine="vllm")
    found = rewards(engine.score(SOLUTIONS))
    engine.close()
    wanted = rewards(open_scorer(model, options=options).score(SOLUTIONS))
    assert found == pytest.approx(wanted, rel=0.0, abs=1e-5)


def rewards(readings: Sequence[object]) -> list[float]:
    return [reward for reading in readings if isinstance(reading, Reading) for reward in reading.rewards]


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[str]:
    """The address of a vLLM server over a checkpoint, stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--model", str(folder), "--dtype", "float32", "--enforce-eager", "--max-model-len", "256", *arguments]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server)
            yield f"vllm:http://127.0.0.1:{port}"
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


def test_class_heads_at_a_server_with_step_pooling(tmp_path: Path) -> None:
    state = checkpoints.linear("score.0", WIDTH, WIDTH) | checkpoints.linear("score.2", 2, WIDTH)
    facts = write(tmp_path, "Qwen2ForProcessRewardModel", state)
    pooler = f'{{"tok_pooling_type":"STEP","step_tag_id":{MARKER}}}'
    with serving(tmp_path, "--runner", "pooling", "--pooler-config", pooler) as address:
        found = computed(facts, CLASSES, sequences(), address)
    case.assert_close(found, open_engine(facts, CLASSES, TINY).forward(sequences()))


def test_log_probabilities_at_a_server(tmp_path: Path) -> None:
    facts = language_model(tmp_path)
    with serving(tmp_path) as address:
        pairs = computed(facts, PAIR, sequences(), address)
        own = computed(facts, OWN, own_tokens(), address)
    wanted = open_engine(facts, PAIR, TINY).forward(sequences())
    case.assert_close(list(map(difference, pairs)), list(map(difference, wanted)))
    case.assert_close(own, open_engine(facts, OWN, TINY).forward(own_tokens()))
