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
import torch

from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.open import open_engine
from stepscore.engine.protocol import EngineInfo, SequenceLimits
from stepscore.engine.vllm.engine import VllmEngine, check_supported
from stepscore.engine.vllm.process import llm_settings
from stepscore.engine.vllm.server import VllmServer
from stepscore.errors import CheckpointError, EngineError, UnsupportedByEngine
from stepscore.family.heads import EnsembleHead, Head, LinearHead, TokenLogProbHead, VocabularyHead
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

    def prompt_logprobs(self, sequences: Sequence[tuple[int, ...]]) -> list[Values]:
        self.asked += sequences
        return [np.array([sum(ids[: place + 1]) for place in range(1, len(ids))], np.float32) for ids in sequences]

    def close(self) -> None:
        self.asked.clear()

    def _rows(self, ids: tuple[int, ...]) -> Values:
        places = [place for place, token in enumerate(ids) if self.tag in (None, token)]
        return np.array([[sum(ids[: place + 1]), place] for place in places], np.float32).reshape(-1, 2)


def engine(transport: Transport, head: Head = CLASSES) -> VllmEngine:
    return VllmEngine(transport, EngineInfo("vllm", "vllm", "float32", "fast", 100, 100), SequenceLimits(100, 50, head))


@pytest.mark.parametrize("tag", [None, MARKER])
def test_rows_of_either_pooler_are_read_at_the_markers(tag: int | None) -> None:
    one, other = Encoded((1, 2, MARKER, 3, MARKER, 4), (2, 4)), Encoded((5, MARKER), (1,))
    transport = Transport(tag)
    running = engine(transport)
    found = running.forward([one, other, one, Encoded((1,), ())])
    assert [rows.tolist() for rows in found] == [[[12, 2], [24, 4]], [[14, 1]], [[12, 2], [24, 4]], []]
    assert transport.asked == [one.ids[:5], other.ids]
    assert (running.counts().prompt, running.counts().computed) == (15, 7)


def test_a_wrong_step_tag_is_an_error_and_no_empty_answer() -> None:
    with pytest.raises(EngineError, match="step_tag_id"):
        engine(Transport(tag=40)).forward([Encoded((1, MARKER), (1,))])


def test_vocabulary_pairs_are_asked_prefix_by_prefix() -> None:
    transport = Transport()
    found = engine(transport, VocabularyHead((7, 3))).forward([Encoded((1, 2, 3), (0, 2)), Encoded((1,), (0,))])
    assert [rows.tolist() for rows in found] == [[[17, 13], [37, 33]], [[17, 13]]]
    assert transport.asked == [(1,), (1, 2, 3)]


def test_own_tokens_are_read_from_one_prompt() -> None:
    transport = Transport()
    running = engine(transport, TokenLogProbHead(reference=False))
    found = running.forward([Encoded((1, 2, 3, 4), (0, 2), (2, 4)), Encoded((1, 2, 3), (0,), (2,)), Encoded((1,), ())])
    assert [rows.tolist() for rows in found] == [[[3], [10]], [[3]], []]
    assert transport.asked == [(1, 2, 3, 4), (1, 2)]
    assert running.counts().computed == 6


def test_a_target_that_does_not_follow_takes_a_prompt_of_its_own() -> None:
    transport = Transport()
    running = engine(transport, TokenLogProbHead(reference=False))
    (rows,) = running.forward([Encoded((1, 2, 3), (0, 1, 2), (2, 9, 7))])
    assert rows.tolist() == [[3], [12], [13]]
    assert transport.asked == [(1, 2), (1, 2, 9), (1, 2, 3, 7)]


@pytest.mark.parametrize(
    ("architecture", "head", "supported"),
    [
        ("Qwen2ForProcessRewardModel", CLASSES, True),
        ("LlamaForTokenClassification", LinearHead(("score",), 2), True),
        ("MistralForCausalLM", VocabularyHead((1, 2)), True),
        ("LlamaForCausalLM", TokenLogProbHead(reference=False), True),
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


MISSING = 33
"""A candidate whose number the server leaves out, as one would that is too old to know the wish."""


class VllmLookalike(BaseHTTPRequestHandler):
    """Answers /v1/models, /pooling and /v1/completions in vLLM's wire format."""

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": "prm", "max_model_len": 32}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/completions":
            choices = [self._choice(number, ids, body) for number, ids in enumerate(body["prompt"])]
            self._send(200, {"choices": choices[::-1]})
            return
        if self.path != "/pooling" or body["task"] != "token_classify" or body["use_activation"]:
            self._send(400, {"error": {"message": "not like this"}})
            return
        rows = [{"index": n, "data": [[float(token), 0.5] for token in ids]} for n, ids in enumerate(body["input"])]
        self._send(200, {"data": rows[::-1]})

    def _choice(self, number: int, ids: list[int], body: dict[str, object]) -> dict[str, object]:
        """Log-probabilities that tell their token: -token / 8, which JSON and fp32 both carry exactly."""
        if "prompt_logprobs" in body:
            places = [None, *({str(token): {"logprob": -token / 8, "rank": 1}} for token in ids[1:])]
            return {"index": number, "prompt_logprobs": places}
        wanted = body.get("logprob_token_ids")
        assert isinstance(wanted, list)
        given = {f"token_id:{token}": -token / 8 for token in (50, *wanted) if token != MISSING}
        return {"index": number, "logprobs": {"top_logprobs": [given]}}

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _send(self, status: int, body: object) -> None:
        written = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)


class AnotherServer(VllmLookalike):
    """Something else that answers HTTP: with a page, or with models whose longest sequence it does not say."""

    def do_GET(self) -> None:
        if b"page" in self.server.said:  # type: ignore[attr-defined]
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"<html>")
        else:
            self._send(200, json.loads(self.server.said))  # type: ignore[attr-defined]


@pytest.mark.parametrize("said", [b"page", b"{}", b"[]", b'{"data": []}', b'{"data": [{"id": "gpt"}]}', b"null"])
def test_an_address_at_which_something_else_answers_is_an_error(said: bytes) -> None:
    with HTTPServer(("127.0.0.1", 0), AnotherServer) as server:
        server.said = said  # type: ignore[attr-defined]
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(EngineError, match="is not a vLLM server"):
            VllmServer(f"http://127.0.0.1:{server.server_port}")


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


def test_a_server_gives_log_probabilities(address: str) -> None:
    pairs = open_engine(FACTS, VocabularyHead((7, 3)), EngineOptions(), engine=f"vllm:{address}")
    assert pairs.info.max_tokens == 31
    assert pairs.forward([Encoded((1, 2, 3), (0, 2))])[0].tolist() == [[-0.875, -0.375], [-0.875, -0.375]]
    own = open_engine(FACTS, TokenLogProbHead(reference=False), EngineOptions(), engine=f"vllm:{address}")
    assert own.info.max_tokens == 30
    assert own.forward([Encoded((1, 2, 4), (0, 1), (2, 4))])[0].tolist() == [[-0.25], [-0.5]]


def test_a_server_that_leaves_a_number_out_is_an_error(address: str) -> None:
    running = open_engine(FACTS, VocabularyHead((MISSING, 3)), EngineOptions(), engine=f"vllm:{address}")
    with pytest.raises(EngineError, match="left log-probabilities out"):
        running.forward([Encoded((1,), (0,))])


@pytest.mark.parametrize(
    ("name", "advice"), [("torch", "choose vllm"), ("vllm:http://127.0.0.1:9", "--tensor-parallel-size 4")]
)
def test_only_vllm_in_process_is_told_of_several_gpus(name: str, advice: str) -> None:
    with pytest.raises(UnsupportedByEngine, match=advice):
        open_engine(FACTS, CLASSES, EngineOptions(tensor_parallel_size=4), engine=name)


@pytest.mark.parametrize(
    ("head", "runner"),
    [(CLASSES, "pooling"), (VocabularyHead((1, 2)), "generate"), (TokenLogProbHead(False), "generate")],
)
def test_what_vllm_is_opened_with(head: Head, runner: str) -> None:
    options = EngineOptions(dtype="bfloat16", tensor_parallel_size=8, max_batch_tokens=2048)
    settings = llm_settings(FACTS, head, options, max_tokens=64)
    assert (settings["tensor_parallel_size"], settings["max_num_batched_tokens"]) == (8, 2048)
    assert (settings["runner"], settings["dtype"], settings["max_model_len"]) == (runner, "bfloat16", 64)
    assert settings["enforce_eager"] == (not torch.cuda.is_available()), "compilation and graphs on a GPU"


def test_vllm_is_told_to_give_as_many_logprobs_as_a_head_asks_for() -> None:
    wide = llm_settings(FACTS, TokenLogProbHead(False, tuple(range(24))), EngineOptions(), max_tokens=64)
    few = llm_settings(FACTS, VocabularyHead((1, 2)), EngineOptions(), max_tokens=64)
    assert (wide["max_logprobs"], few["max_logprobs"]) == (24, 20)


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EngineError, match="does not answer"):
        open_engine(FACTS, CLASSES, EngineOptions(), engine="vllm:http://127.0.0.1:9")


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(CheckpointError, match="torch, vllm, fake"):
        open_engine(FACTS, CLASSES, EngineOptions(), engine="onnx")
