"""The file of the Hub, over real HTTP: what was stopped continues, whatever the server does in between."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from cli_case import run_python
from stepscore.embedded.download import fetch, from_hub, from_hub_cache
from stepscore.embedded.sources import GgufSource
from stepscore.errors import CheckpointError

CONTENT = bytes(range(256)) * 1000
SOURCE = GgufSource(
    name="tiny",
    repository="nobody/tiny",
    revision="0" * 40,
    file="tiny.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    packages=("stepscore-no-such-part==1.0",),
)
PATH = f"/nobody/tiny/resolve/{'0' * 40}/tiny.gguf"

Asked = tuple[int, str, str | None]
Answer = Callable[["Hub", int], None]
"""Answers a request that begins at a byte."""


class Hub(BaseHTTPRequestHandler):
    """Answers in turn, the last answer for good; asked: the first byte and the path of each request, and its token."""

    protocol_version = "HTTP/1.1"
    answers: list[Answer]
    asked: list[Asked]

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))
        assert asked is not None
        self.asked.append((int(asked[1]), self.path, self.headers.get("Authorization")))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer(self, int(asked[1]))
        self.close_connection = True

    def give(self, status: int, body: bytes, length: int | None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


def honest(hub: Hub, start: int, stop: int | None = None) -> None:
    """What is asked for; it breaks off before the byte `stop`."""
    ranges = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
    hub.give(206 if start else 200, CONTENT[start:stop], len(CONTENT) - start, **ranges)


def whole(hub: Hub, start: int, stop: int | None = None) -> None:
    """The file from its beginning, whatever is asked for."""
    hub.give(200, CONTENT[:stop], len(CONTENT))


def without_length(hub: Hub, start: int, stop: int | None = None) -> None:
    """As mirrors that leave Content-Length out; the end of the connection is the end of the file."""
    ranges = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
    hub.give(206 if start else 200, CONTENT[start:stop], None, **ranges)


def refused(hub: Hub, start: int, status: int = 416) -> None:
    hub.give(status, b"no", 2)


def unsatisfiable(hub: Hub, start: int) -> None:
    """416 to whatever does not begin at 0."""
    refused(hub, start) if start else honest(hub, start)


def elsewhere(hub: Hub, start: int) -> None:
    hub.give(302, b"", 0, Location="/cdn/blob")


def page(hub: Hub, start: int) -> None:
    """As a portal that wants a login."""
    whole_page = b"<html>Please log in</html>"
    hub.give(200, whole_page, len(whole_page), Content_Type="text/html")


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[str, list[Asked]]]:
    """The address of a hub, and what it was asked."""

    class OneHub(Hub): ...

    OneHub.answers, OneHub.asked = list(answers), []
    with ThreadingHTTPServer(("127.0.0.1", 0), OneHub) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", OneHub.asked
        server.shutdown()
        thread.join()


def staged(folder: Path) -> Path:
    file = folder / ".tiny.gguf.download" / "hub" / "tiny.gguf"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@pytest.mark.parametrize(
    ("answers", "starts"),
    [
        ([honest], [0]),
        ([elsewhere, honest], [0, 0]),
        ([partial(honest, stop=1000), honest], [0, 1000]),
        ([partial(honest, stop=1000), partial(honest, stop=5000), honest], [0, 1000, 5000]),
        ([partial(honest, stop=1000), elsewhere, honest], [0, 1000, 1000]),
        ([partial(without_length, stop=1000), without_length], [0, 1000]),
        ([partial(honest, stop=1000), whole], [0, 1000]),
        ([partial(whole, stop=1000), partial(whole, stop=2000), whole], [0, 1000, 2000]),
        ([partial(honest, stop=1000), refused, honest], [0, 1000, 0]),
    ],
    ids=[
        "at once",
        "after a redirect",
        "broken off once",
        "broken off twice",
        "broken off, then a redirect",
        "without a length",
        "the range is ignored",
        "the range is always ignored",
        "the range is refused",
    ],
)
def test_the_whole_file_comes_whatever_the_server_does(
    tmp_path: Path, answers: list[Answer], starts: list[int]
) -> None:
    with serving(*answers) as (url, asked):
        file = fetch(SOURCE, tmp_path, [partial(from_hub, endpoint=url)])
    assert file.read_bytes() == CONTENT
    assert [start for start, *_ in asked] == starts
    assert asked[0][1] == PATH


def test_a_download_that_an_earlier_run_left_continues_at_the_byte(tmp_path: Path) -> None:
    staged(tmp_path).write_bytes(CONTENT[:2000])
    with serving(honest) as (url, asked):
        assert fetch(SOURCE, tmp_path, [partial(from_hub, endpoint=url)]).read_bytes() == CONTENT
    assert [start for start, *_ in asked] == [2000]
    assert not (tmp_path / ".tiny.gguf.download").exists()


def test_a_whole_file_that_was_not_yet_installed_is_not_asked_for_again(tmp_path: Path) -> None:
    staged(tmp_path).write_bytes(CONTENT)
    with serving(refused) as (url, asked):
        assert fetch(SOURCE, tmp_path, [partial(from_hub, endpoint=url)]).read_bytes() == CONTENT
    assert asked == []


@pytest.mark.parametrize("left", [b"x" * 2000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_what_was_left_of_another_file_is_removed_and_the_next_run_gets_the_right_one(
    tmp_path: Path, left: bytes
) -> None:
    staged(tmp_path).write_bytes(left)
    with serving(honest) as (url, _):
        hub = partial(from_hub, endpoint=url)
        with pytest.raises(CheckpointError, match="has the SHA-256"):
            fetch(SOURCE, tmp_path, [hub])
        assert fetch(SOURCE, tmp_path, [hub]).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "answer", [partial(refused, status=status) for status in (401, 403, 404, 429, 500, 503)] + [page]
)
def test_a_hub_that_gives_something_else_leaves_it_to_the_next_way(tmp_path: Path, answer: Answer) -> None:
    def other(source: GgufSource, folder: Path) -> Path:
        file = folder / source.file
        file.write_bytes(CONTENT)
        return file

    with serving(answer) as (url, _):
        assert fetch(SOURCE, tmp_path, [partial(from_hub, endpoint=url), other]).read_bytes() == CONTENT


def test_a_download_that_breaks_off_for_good_is_kept_for_the_next_run(tmp_path: Path) -> None:
    breaking = serving(partial(honest, stop=1000), partial(refused, status=503))
    with breaking as (url, _), pytest.raises(CheckpointError, match="could not be downloaded"):
        fetch(SOURCE, tmp_path, [partial(from_hub, endpoint=url)])
    assert staged(tmp_path).read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "hub.invalid", "http://[bad", "http://hub.invalid"])
def test_a_hub_that_cannot_be_reached_is_said_and_nothing_more(
    tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert from_hub(SOURCE, tmp_path, endpoint) is None
    assert "The Hub does not give tiny.gguf: " in capsys.readouterr().err


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "nonsense://127.0.0.1:1", "http://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_said_too(
    tmp_path: Path, proxy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    assert from_hub(SOURCE, tmp_path, "http://hub.invalid") is None
    assert "The Hub does not give tiny.gguf: " in capsys.readouterr().err


LOCATE = """
from stepscore.checkpoint import locate
from stepscore.errors import CheckpointError
try:
    locate("nobody/tiny")
except CheckpointError as error:
    print(error)
"""


def test_a_hub_that_hangs_up_is_an_error_of_the_checkpoint(tmp_path: Path) -> None:
    """Whichever HTTP library huggingface_hub uses."""
    with serving(lambda hub, start: None) as (url, _):
        done = run_python(tmp_path, "-c", LOCATE, HF_ENDPOINT=url, HF_HOME=str(tmp_path))
    assert done.stdout.startswith("nobody/tiny is not a folder, and the Hub does not give it: "), done.stderr


FETCH = f"""
from pathlib import Path
from stepscore.embedded.download import fetch, from_hub, from_hub_cache
from stepscore.embedded.sources import GgufSource
print(fetch({SOURCE!r}, Path("cache"), [from_hub_cache, from_hub]))
"""


def test_hf_endpoint_names_the_mirror_that_is_asked(tmp_path: Path) -> None:
    with serving(honest) as (url, asked):
        done = run_python(tmp_path, "-c", FETCH, HF_ENDPOINT=url, HF_TOKEN="hf_secret", HF_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cache" / "tiny.gguf").read_bytes() == CONTENT
    assert asked == [(0, PATH, "Bearer hf_secret")]


def test_two_processes_download_the_file_once(tmp_path: Path) -> None:
    def slow(hub: Hub, start: int) -> None:
        time.sleep(0.5)
        honest(hub, start)

    with serving(slow) as (url, asked), ThreadPoolExecutor() as pool:
        one = partial(run_python, tmp_path, "-c", FETCH, HF_ENDPOINT=url, HF_HOME=str(tmp_path))
        both = [each.result() for each in [pool.submit(one) for _ in range(2)]]
    assert [done.returncode for done in both] == [0, 0], [done.stderr for done in both]
    assert len(asked) == 1


NO_ROOM = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from stepscore.errors import CheckpointError
try:
    {FETCH.strip().replace(chr(10), chr(10) + "    ")}
except CheckpointError as error:
    print(error)
"""


def test_a_file_that_cannot_be_written_is_said_with_its_reason(tmp_path: Path) -> None:
    """As a full disk; here the process may not write that much."""
    with serving(honest) as (url, _):
        done = run_python(tmp_path, "-c", NO_ROOM, HF_ENDPOINT=url, HF_HOME=str(tmp_path))
    assert done.stdout.startswith("cannot write tiny.gguf into cache: [Errno 27]"), done.stderr


def test_a_token_is_not_sent_to_another_host(tmp_path: Path) -> None:
    with serving(honest) as (cdn, theirs):
        port = cdn.rpartition(":")[2]
        with serving(lambda hub, start: hub.give(302, b"", 0, Location=f"http://localhost:{port}/blob")) as (url, ours):
            done = run_python(tmp_path, "-c", FETCH, HF_ENDPOINT=url, HF_TOKEN="hf_secret", HF_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (ours, theirs) == ([(0, PATH, "Bearer hf_secret")], [(0, "/blob", None)])


def test_what_the_hub_s_own_cache_holds_is_used_without_the_network(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--nobody--tiny" / "snapshots" / SOURCE.revision
    blob = tmp_path / "hub" / "models--nobody--tiny" / "blobs" / "blob"
    for each in (snapshot, blob.parent):
        each.mkdir(parents=True)
    blob.write_bytes(CONTENT)
    (snapshot / "tiny.gguf").symlink_to(blob)
    done = run_python(tmp_path, "-c", FETCH, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cache" / "tiny.gguf").read_bytes() == CONTENT
    assert not (tmp_path / "cache" / "tiny.gguf").is_symlink()
    assert blob.read_bytes() == CONTENT


def test_a_damaged_copy_in_the_hub_s_cache_is_not_used_and_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next way is tried; the cache is huggingface_hub's to repair."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--nobody--tiny" / "snapshots" / SOURCE.revision
    snapshot.mkdir(parents=True)
    (snapshot / "tiny.gguf").write_bytes(b"GGUF, damaged")
    with serving(honest) as (url, _):
        found = fetch(SOURCE, tmp_path / "ours", [from_hub_cache, partial(from_hub, endpoint=url)])
    assert found.read_bytes() == CONTENT
    assert (snapshot / "tiny.gguf").read_bytes() == b"GGUF, damaged"
