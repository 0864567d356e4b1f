"""Put what was trained on its base and write the checkpoint, once, into the cache folder.

    python -m stepscore.embedded.prepare [NAME]

NAME is `embedded` (the default), `embedded-head`, which is a class head on top of it, or a base alone for
`stepscore train` and `stepscore label` (`qwen2.5-coder-0.5b`, `qwen2.5-coder-1.5b`). The result is a plain checkpoint
folder, opened by mmap like any other. Its name holds a digest of the base and of all that was trained, so that another
adapter is prepared anew; it is written beside and renamed, so that a kill leaves nothing half-made under that name, and
the next run removes what it left. The cache is $XDG_CACHE_HOME/stepscore, else ~/.cache/stepscore.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError

from stepscore.config import cache_folder
from stepscore.embedded.download import fetch, say
from stepscore.embedded.sources import CODER_05B, SOURCES, GgufSource
from stepscore.errors import CheckpointError

HERE = Path(__file__).parent
ADAPTER = HERE / "adapter.safetensors"
RECIPE = HERE / "recipe.json"
HEAD = HERE / "head.safetensors"
HEAD_RECIPE = HERE / "head.json"

EMBEDDED = "embedded"
EMBEDDED_HEAD = "embedded-head"
SHIPPED = {
    EMBEDDED: ((ADAPTER.name, RECIPE.name),),
    EMBEDDED_HEAD: ((ADAPTER.name, RECIPE.name), (HEAD.name, HEAD_RECIPE.name)),
}
"""What was trained for each checkpoint that ships, one part on the other: tensors, and the facts about them."""

CONVERSION = "1"
"""Changes when the same base and adapter are to be written differently."""

UNFINISHED = ".preparing-"
"""Begins the names of folders that are being written."""

GGUF = "gguf"
"""The folder in the cache that holds the downloaded files."""

BARE: dict[str, Any] = {"scale": 1.0, "config": {}}


@dataclass(frozen=True, slots=True)
class PartFiles:
    """A part that was trained. tensors: its state. recipe: the other fields of a `TrainedPart`, in JSON."""

    tensors: Path
    recipe: Path

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.recipe.read_text(encoding="utf-8"))
        return found


def prepare(
    name: str = EMBEDDED, cache: Path | None = None, *, shipped: Path = HERE, source: GgufSource = CODER_05B
) -> Path:
    """The folder of a checkpoint that ships (`SHIPPED`), made if it is missing.

    shipped: the folder of what was trained. source: the base that it was trained on. Raises CheckpointError if what was
    trained is not there, or the base cannot be had.
    """
    parts = [PartFiles(shipped / tensors, shipped / recipe) for tensors, recipe in SHIPPED[name]]
    missing = [str(file) for part in parts for file in (part.tensors, part.recipe) if not file.is_file()]
    if missing:
        raise CheckpointError(
            f"{name} is not in this installation, which lacks {' and '.join(missing)}", path=missing[0]
        )
    return _prepared(source, f"stepscore-{name}", parts, cache or cache_folder())


def prepare_base(name: str, cache: Path | None = None) -> Path:
    """A base's folder, made if it is missing. Raises CheckpointError if it is unknown or cannot be fetched."""
    if name not in SOURCES:
        raise CheckpointError(f"{name} is not a base; there are {', '.join(SOURCES)}", base=name)
    return _prepared(SOURCES[name], name, (), cache or cache_folder())


def _prepared(source: GgufSource, name: str, parts: Sequence[PartFiles], cache: Path) -> Path:
    folder = cache / f"{name}-{_digest(source, parts)}"
    return make_once(folder, lambda made: _write(source, parts, cache, made))


def make_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """The folder, filled by `write` if it is missing. One process at a time writes; the others wait and find it.

    write: fills an empty folder, which gets the name of `folder` when it is done. Raises CheckpointError if the folder
    is missing and nothing can be written beside it, or the disk is full.
    """
    if folder.is_dir():
        return folder
    with _locked(folder.parent):
        if not folder.is_dir():
            try:
                _make(folder, write)
            except (OSError, SafetensorError) as error:
                raise _unwritten(folder.parent, str(error)) from error
    return folder


def _locked(cache: Path) -> AbstractContextManager[object]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return FileLock(cache / ".preparing.lock").acquire()
    except OSError as error:
        raise _unwritten(cache, str(error.strerror)) from error


def _unwritten(cache: Path, reason: str) -> CheckpointError:
    said = f"cannot write into {cache}: {reason}. Set XDG_CACHE_HOME to a folder that you can write, with 2 GB of space"
    return CheckpointError(said, path=str(cache))


def _make(folder: Path, write: Callable[[Path], None]) -> None:
    for left in folder.parent.glob(f"{UNFINISHED}*"):  # of a process that was killed: only the lock's holder writes
        shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        say(f"Preparing {folder}")
        write(made)
        made.chmod(0o755)
        for written in made.iterdir():
            written.chmod(0o644)  # safetensors writes for its own user only
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write(source: GgufSource, parts: Sequence[PartFiles], cache: Path, folder: Path) -> None:
    try:
        from safetensors.torch import load_file

        from stepscore.embedded.gguf_checkpoint import TrainedPart, write_checkpoint
    except ModuleNotFoundError as error:
        raise CheckpointError(f"{source.name} needs {error.name}: pip install 'stepscore[embedded]'") from error

    file = fetch(source, cache / GGUF)
    write_checkpoint(file, folder, [TrainedPart(load_file(part.tensors), **part.facts()) for part in parts])


def _digest(source: GgufSource, parts: Sequence[PartFiles]) -> str:
    facts = [part.facts() for part in parts] or [BARE]
    told = json.dumps([CONVERSION, source.sha256, *facts]).encode()
    return hashlib.sha256(told + b"".join(part.tensors.read_bytes() for part in parts)).hexdigest()[:12]


def main() -> None:
    """Print the folder of the checkpoint that ships, or of the base, that the command line names."""
    parser = argparse.ArgumentParser("python -m stepscore.embedded.prepare")
    parser.add_argument("name", metavar="NAME", nargs="?", default=EMBEDDED, choices=[*SHIPPED, *SOURCES])
    name = parser.parse_args().name
    try:
        print(prepare(name) if name in SHIPPED else prepare_base(name))  # noqa: T201 - the answer of the command
    except CheckpointError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
