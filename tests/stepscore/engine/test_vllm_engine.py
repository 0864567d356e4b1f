"""The engine over vLLM: what it asks for and how it reads the answers (no vLLM here, a transport in its place)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.base import EngineInfo
from stepscore.engine.open import open_engine
from stepscore.engine.validation import Limits
from stepscore.engine.vllm_engine import VllmEngine, check_supported
from stepscore.errors import CheckpointError, EngineError, UnsupportedByEngine
from stepscore.heads import EnsembleHead, Head, LinearHead, TokenLogProbHead, VocabularyHead
from stepscore.types import Encoded, Values

CLASSES = LinearHead(("score.0", "score.2"), outputs=2)
MARKER = 9


@dataclass
class Transport:
    """Numbers that tell their sequence and place; `tag` keeps the rows of one token, as STEP pooling does."""

    tag: int | None = None
    max_tokens: int = 100
    dtype: str = "float32"
    asked: list[tuple[int, ...]] = field(default_factory=list)

    def pool(self, sequences: Sequence[tuple[int, ...]]) -> list[Values]:
        self.asked += sequences
        return [self._rows(ids) for ids in sequences]

    def next_token(self, prefixes: Sequence[tuple[int, ...]], candidates: tuple[int, ...]) -> list[Values]:
        self.asked += prefixes
        return [np.array([len(prefix) * 10 + token for token in candidates], np.float32) for prefix in prefixes]

    def close(self) -> None:
        self.asked.clear()

    def _rows(self, ids: tuple[int, ...]) -> Values:
        places = [place for place, token in enumerate(ids) if self.tag in (None, token)]
        return np.array([[sum(ids[: place + 1]), place] for place in places], np.float32).reshape(-1, 2)


def engine(transport: Transport, head: Head = CLASSES) -> VllmEngine:
    return VllmEngine(transport, EngineInfo("vllm", "vllm", "float32", "fast", 100, 100), Limits(100, 50, head))


@pytest.mark.parametrize("tag", [None, MARKER])
def test_rows_of_either_pooler_are_read_at_the_markers(tag: int | None) -> None:
    one, other = Encoded((1, 2, MARKER, 3, MARKER, 4), (2, 4)), Encoded((5, MARKER), (1,))
    transport = Transport(tag)
    running = engine(transport)
    found = running.forward([one, other, one, Encoded((1,), ())])
    assert [rows.tolist() for rows in found] == [[[12, 2], [24, 4]], [[14, 1]], [[12, 2], [24, 4]], []]
    assert transport.asked == [one.ids[:5], other.ids]
    assert (running.counts().asked, running.counts().computed) == (15, 7)


def test_a_wrong_step_tag_is_an_error_and_no_empty_answer() -> None:
    with pytest.raises(EngineError, match="step_tag_id"):
        engine(Transport(tag=40)).forward([Encoded((1, MARKER), (1,))])


def test_vocabulary_pairs_are_asked_prefix_by_prefix() -> None:
    transport = Transport()
    found = engine(transport, VocabularyHead((7, 3))).forward([Encoded((1, 2, 3), (0, 2)), Encoded((1,), (0,))])
    assert [rows.tolist() for rows in found] == [[[17, 13], [37, 33]], [[17, 13]]]
    assert transport.asked == [(1,), (1, 2, 3)]


@pytest.mark.parametrize(
    ("architecture", "head", "supported"),
    [
        ("Qwen2ForProcessRewardModel", CLASSES, True),
        ("LlamaForTokenClassification", LinearHead(("score",), 2), True),
        ("MistralForCausalLM", VocabularyHead((1, 2)), True),
        ("Qwen2ForPrmModel", LinearHead(("v_head.summary",), 1), False),
        ("Qwen2ForEnsemblePRM", EnsembleHead("score.model", 8), False),
        ("Qwen2ForCausalLM", TokenLogProbHead(reference=True), False),
    ],
)
def test_support_goes_by_head_and_architecture(architecture: str, head: Head, supported: bool) -> None:
    facts = CheckpointFacts(Path(), "it", {"architectures": [architecture]}, {}, "r")
    if supported:
        check_supported(facts, head)
    else:
        with pytest.raises(UnsupportedByEngine, match="torch engine"):
            check_supported(facts, head)


FACTS = CheckpointFacts(
    Path(),
    "it",
    {"architectures": ["Qwen2ForProcessRewardModel"], "max_position_embeddings": 64, "vocab_size": 50},
    {},
    "r",
)


class VllmLookalike(BaseHTTPRequestHandler):
    """Answers /v1/models and /pooling in vLLM's wire format."""

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": "prm", "max_model_len": 32}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/pooling" or body["task"] != "token_classify" or body["use_activation"]:
            self._send(400, {"error": {"message": "not like this"}})
            return
        rows = [{"index": n, "data": [[float(token), 0.5] for token in ids]} for n, ids in enumerate(body["input"])]
        self._send(200, {"data": rows[::-1]})

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _send(self, status: int, body: object) -> None:
        written = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), VllmLookalike) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_is_asked_over_http(address: str) -> None:
    running = open_engine(FACTS, CLASSES, EngineOptions(), engine=f"vllm:{address}")
    assert running.info.max_tokens == 32
    found = running.forward([Encoded((3, 4, 5), (0, 2)), Encoded((6,), (0,))])
    assert [rows.tolist() for rows in found] == [[[3, 0.5], [5, 0.5]], [[6, 0.5]]]
    running.close()


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EngineError, match="does not answer"):
        open_engine(FACTS, CLASSES, EngineOptions(), engine="vllm:http://127.0.0.1:9")


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(CheckpointError, match="torch, vllm, fake"):
        open_engine(FACTS, CLASSES, EngineOptions(), engine="onnx")
