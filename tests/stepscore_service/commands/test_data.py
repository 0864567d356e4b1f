"""`stepscore data`: files are fetched whole or not at all; a machine without a network says what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli_case import invoke
from stepscore_service.jobs.data.benchmarks import PUBLISHED

DOCS = Path(__file__).parents[3] / "docs" / "evaluation.md"


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a log."""

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Hub whose files are in the folder that this is."""
    root = tmp_path / "hub"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    yield root
    server.shutdown()
    thread.join()
    server.server_close()


def offer(hub: Path, repository: str, file: str, content: bytes) -> None:
    folder = hub / "datasets" / repository / "resolve" / "main"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(content)


def test_files_are_fetched_as_they_are_and_kept(tmp_path: Path, hub: Path) -> None:
    for file in PUBLISHED["processbench"].files:
        offer(hub, "Qwen/ProcessBench", file, b"[]\n" + file.encode())
    out = tmp_path / "bench"
    result = invoke("data", "get", "processbench", "--out", out)
    assert result.exit_code == 0, result.output
    assert "Apache-2.0" in result.output
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        file: b"[]\n" + file.encode() for file in PUBLISHED["processbench"].files
    }
    (out / "math.json").write_bytes(b"mine")
    assert invoke("data", "get", "processbench", "--out", out).exit_code == 0
    assert (out / "math.json").read_bytes() == b"mine"


def test_a_file_that_is_not_there_is_named(tmp_path: Path, hub: Path) -> None:
    result = invoke("data", "get", "prmbench", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "/datasets/hitsmy/PRMBench_Preview/resolve/main/prmbench_preview.jsonl answers 404" in result.output
    assert list((tmp_path / "out").iterdir()) == []


def test_without_a_network_it_says_what_to_fetch_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    result = invoke("data", "get", "math-shepherd", "--out", tmp_path / "out")
    assert (result.exit_code, "cannot be reached from here" in result.output) == (2, True)
    assert "math-shepherd.jsonl" in result.output
    assert "HF_ENDPOINT" in result.output


def test_names_are_listed_and_documented() -> None:
    said, page = invoke("data", "list").output, DOCS.read_text()
    for name, data in PUBLISHED.items():
        assert f"stepscore data get {name}`" in page
        assert f"licence: {data.licence}" in said
        assert all(data.address(file) in said for file in data.files)
    assert "there are processbench" in invoke("data", "get", "gsm9k").output
