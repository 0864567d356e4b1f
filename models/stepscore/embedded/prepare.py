"""Put what was trained on its base and write the checkpoint, once, into the cache folder.

    python -m stepscore.embedded.prepare [BASE]

The result is a plain checkpoint folder, opened by mmap like any other. Its name holds a digest of the base and of the
trained part, so that another adapter is prepared anew; it is written beside and renamed, so that a kill leaves nothing
half-made. BASE prepares a base alone (`qwen2.5-coder-0.5b`, `qwen2.5-coder-1.5b`) for `stepscore train` and
`stepscore label`. The cache is $XDG_CACHE_HOME/stepscore, else ~/.cache/stepscore.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock

from stepscore.config import cache_folder
from stepscore.embedded.download import fetch, say
from stepscore.embedded.sources import CODER_05B, SOURCES, GgufSource
from stepscore.errors import CheckpointError

HERE = Path(__file__).parent
ADAPTER = HERE / "adapter.safetensors"
RECIPE = HERE / "recipe.json"
CONVERSION = "1"
"""Changes when the same base and adapter are to be written differently."""

GGUF = "gguf"
"""The folder in the cache that holds the downloaded files."""

BARE: dict[str, Any] = {"scale": 1.0, "config": {}}


def prepare(cache: Path | None = None) -> Path:
    """The embedded checkpoint's folder, made if it is missing. Raises CheckpointError if its base cannot be had."""
    recipe = json.loads(RECIPE.read_text(encoding="utf-8"))
    return _prepared(CODER_05B, "stepscore-embedded", ADAPTER, recipe, cache or cache_folder())


def prepare_base(name: str, cache: Path | None = None) -> Path:
    """A base's folder, made if it is missing. Raises CheckpointError if it is unknown or cannot be fetched."""
    if name not in SOURCES:
        raise CheckpointError(f"{name} is not a base; there are {', '.join(SOURCES)}", base=name)
    return _prepared(SOURCES[name], name, None, BARE, cache or cache_folder())


def _prepared(source: GgufSource, name: str, adapter: Path | None, recipe: dict[str, Any], cache: Path) -> Path:
    folder = cache / f"{name}-{_digest(source, adapter, recipe)}"
    return make_once(folder, lambda made: _write(source, adapter, recipe, cache, made))


def make_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """The folder, filled by `write` if it is missing. One process at a time writes; the others wait and find it.

    write: fills an empty folder, which gets the name of `folder` when it is done. Raises CheckpointError if the folder
    is missing and nothing can be written beside it.
    """
    if folder.is_dir():
        return folder
    with _locked(folder.parent):
        if not folder.is_dir():
            _make(folder, write)
    return folder


def _locked(cache: Path) -> AbstractContextManager[object]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return FileLock(cache / ".preparing.lock").acquire()
    except OSError as error:
        said = f"cannot write into {cache}: {error.strerror}. Set XDG_CACHE_HOME to a folder that you can write"
        raise CheckpointError(said, path=str(cache)) from error


def _make(folder: Path, write: Callable[[Path], None]) -> None:
    made = Path(tempfile.mkdtemp(prefix=".preparing-", dir=folder.parent))
    try:
        say(f"Preparing {folder}")
        write(made)
        made.chmod(0o755)
        for written in made.iterdir():
            written.chmod(0o644)  # safetensors writes for its own user only
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write(source: GgufSource, adapter: Path | None, recipe: dict[str, Any], cache: Path, folder: Path) -> None:
    try:
        from safetensors.torch import load_file

        from stepscore.embedded.gguf_checkpoint import write_checkpoint
    except ModuleNotFoundError as error:
        raise CheckpointError(f"{source.name} needs {error.name}: pip install 'stepscore[embedded]'") from error

    file = fetch(source, cache / GGUF)
    write_checkpoint(file, folder, load_file(adapter) if adapter else {}, recipe["scale"], recipe["config"])


def _digest(source: GgufSource, adapter: Path | None, recipe: dict[str, Any]) -> str:
    told = json.dumps([CONVERSION, source.sha256, recipe]).encode()
    return hashlib.sha256(told + (adapter.read_bytes() if adapter else b"")).hexdigest()[:12]


if __name__ == "__main__":
    print(prepare_base(sys.argv[1]) if len(sys.argv) > 1 else prepare())  # noqa: T201 - the answer of the command
