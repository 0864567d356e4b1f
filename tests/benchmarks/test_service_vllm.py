"""The service beside vLLM's server: the work that both are sent, and what is made of their answers."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.service_requests import GSM8K
from benchmarks.service_vllm import (
    MARKER,
    Measured,
    Server,
    Texts,
    beams,
    by_kind,
    differences,
    joined,
    mixed,
    ratios,
    reranks,
    rewards_row,
    run,
)

needs_gsm8k = pytest.mark.skipif(not GSM8K.is_file(), reason="needs the data of GSM8K in ../shared")


class Pooling(BaseHTTPRequestHandler):
    """Answers POST /pooling in vLLM's format, rows in reverse: the reward of a step is its place over 10."""

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        rows = [
            {"index": place, "data": [[1 - step / 10, step / 10] for step in range(text.count(MARKER))]}
            for place, text in enumerate(texts)
        ]
        written = json.dumps({"data": rows[::-1], "usage": {"prompt_tokens": sum(map(len, texts))}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pooling) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield Server("it", f"http://127.0.0.1:{running.server_port}", 0)
        running.shutdown()
        thread.join()


@needs_gsm8k
def test_no_text_is_sent_twice_and_beams_grow_step_by_step() -> None:
    texts = Texts()
    clients = [*reranks(texts, 2), *beams(texts, 2), *mixed(texts, 20, 1.0)]
    sent = [text for client in clients for call in client.requests for text in call]
    assert len(set(sent)) == len(sent)
    rounds = beams(texts, 1)[0].requests
    assert [len(call) for call in rounds] == [16] * 10
    assert [{text.count(MARKER) for text in call} for call in rounds] == [{depth} for depth in range(1, 11)]
    for before, after in pairwise(rounds):
        beginnings = {text.removesuffix("<|im_end|>\n") for text in before}
        assert all(any(text.startswith(each) for each in beginnings) for text in after)


@needs_gsm8k
def test_mixed_traffic_arrives_at_its_rate_in_random_order() -> None:
    clients = mixed(Texts(), 100, 2.0)
    kinds = [client.kind for client in clients]
    assert {kind: kinds.count(kind) for kind in kinds} == {"singles": 60, "reranks of 16": 20, "beam steps": 20}
    assert len(set(kinds[:20])) == 3
    arrivals = [client.arrival for client in clients]
    assert arrivals == sorted(arrivals)
    assert 100 / 2.0 * 0.7 < arrivals[-1] < 100 / 2.0 * 1.3


@needs_gsm8k
def test_answers_are_read_by_place_and_counted(server: Server) -> None:
    found = asyncio.run(run(server, mixed(Texts(), 10, 1000.0), 30.0))
    assert {kind: len(times) for kind, times in found.latencies.items()} == {
        "singles": 6,
        "reranks of 16": 2,
        "beam steps": 2 * 3,
    }
    assert found.solutions == 6 + 2 * 16 + 2 * 3 * 16 == len(found.rewards)
    assert all(rewards == [at / 10 for at in range(text.count(MARKER))] for text, rewards in found.rewards.items())
    assert found.seconds > 0


def test_ratios_say_how_much_more_the_other_took() -> None:
    ours = Measured({"a": [2.0], "b": [1.0]}, solutions=4, seconds=2.0, cpu=1.0)
    theirs = Measured({"a": [8.0], "b": [2.0]}, solutions=4, seconds=6.0, cpu=5.0)
    assert ratios("it", ours, theirs) == "| it | all | **ratio** | - | - | - | 3.00 | 2.00 | 4.00 | 5.00 |"
    assert list(by_kind("it", ours, theirs)) == [
        "| it: a | 1 | 2,000 | 2,000 | 8,000 | 8,000 | 4.00 | 4.00 |",
        "| it: b | 1 | 1,000 | 1,000 | 2,000 | 2,000 | 2.00 | 2.00 |",
    ]
    assert joined([ours, theirs, ours]).latencies == {"a": [2.0, 8.0, 2.0], "b": [1.0, 2.0, 1.0]}


def test_rewards_are_compared_text_by_text() -> None:
    ours = Measured(rewards={"a": [0.5, 0.25], "b": [0.75]})
    theirs = Measured(rewards={"b": [0.625], "a": [0.5, 0.375]})
    assert differences(ours, theirs) == [0.0, 0.125, 0.125]
    assert rewards_row("it", differences(ours, theirs)) == "| it | 3 | 1.2e-01 | 1.2e-01 | 1.2e-01 |"
    theirs.rewards["a"].pop()
    with pytest.raises(ValueError, match="shorter"):
        differences(ours, theirs)
