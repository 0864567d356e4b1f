"""Datasets of the Hub as input, from a server that answers as the Hub does."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli_case import read, run_alone

COMMIT = "a" * 40
FILES = {
    "train.jsonl": [{"question": "2+2?", "response": "So 4."}],
    "test.jsonl": [{"question": "2+3?", "response": "So 5."}, {"question": "2+4?", "response": "So 6."}],
}
CONTENTS = {name: "".join(json.dumps(row) + "\n" for row in rows).encode() for name, rows in FILES.items()}
INFO = {"id": "some/sums", "sha": COMMIT, "private": False, "siblings": [{"rfilename": name} for name in FILES]}
TREE = [
    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
    for name, content in CONTENTS.items()
]


class Hub(BaseHTTPRequestHandler):
    """One dataset of two files."""

    def answer(self) -> None:
        path, name = self.path.partition("?")[0], self.path.rpartition("/")[2]
        if not path.startswith(("/api/datasets/some/sums", "/datasets/some/sums/")):
            self.send(b"", 404, {"X-Error-Code": "RepoNotFound"})
        elif "/resolve/" in path:
            found = CONTENTS.get(name)
            tag = {"ETag": f'"{hashlib.sha1(found or b"").hexdigest()}"', "X-Repo-Commit": COMMIT}
            missing = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
            self.send(found or b"", *((200, tag) if found else (404, missing)))
        else:
            self.send(
                json.dumps(TREE if "/tree/" in path else INFO).encode(), 200, {"Content-Type": "application/json"}
            )

    def send(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None: ...

    do_GET = do_HEAD = answer  # noqa: N815


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    yield {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_dataset_is_scored_under_its_own_names(tmp_path: Path, folder: Path, variables: dict[str, str]) -> None:
    flags = ["--columns", "problem=question,solution=response", "--model", f"tiny={folder}", "--engine", "fake"]
    found = run_alone(tmp_path, "score", "hub:some/sums:test", *flags, "--log-format", "json", **variables)
    assert found.returncode == 0, found.stderr
    assert [row["problem"] for row in read(tmp_path / "some-sums-test.scored.jsonl")] == ["2+3?", "2+4?"]
    assert all(json.loads(line)["event"] for line in found.stderr.splitlines())
    again = run_alone(tmp_path, "score", "hub:some/sums:test", *flags, **variables)
    assert (again.returncode, "all 2 rows are done" in again.stderr) == (0, True), again.stderr


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hub:some/sums", "there are the splits train, test: give one, as hub:some/sums:train"),
        ("hub:some/sums:dev", "there are the splits train, test"),
        ("hub:some/others", "Is there a public dataset some/others"),
        ("hub:sums", "is not the address of a dataset: hub:OWNER/NAME"),
        ("some/sums", "A dataset of the Hub is hub:some/sums."),
    ],
)
def test_what_cannot_be_had_says_why(tmp_path: Path, address: str, said: str, variables: dict[str, str]) -> None:
    found = run_alone(tmp_path, "score", address, **variables)
    assert found.returncode == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_a_hub_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    variables = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    found = run_alone(tmp_path, "evaluate", "--processbench", "hub:Qwen/ProcessBench:gsm8k", "--out", "o", **variables)
    assert found.returncode == 2
    assert "the Hub cannot be reached from here" in found.stderr
    assert "HF_ENDPOINT names a mirror" in found.stderr
