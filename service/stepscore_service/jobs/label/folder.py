"""The output folder: shards that are whole or absent, and a manifest that says how they came about.

A kill loses the shard that was being made. The same run on the same folder continues; another one is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from stepscore.errors import InvalidInput, StepscoreError
from stepscore_service.jobs.label.shard import LABELS, FinishedShard
from stepscore_service.jobs.label.stats import sum_totals
from stepscore_service.jobs.runs import atomic
from stepscore_service.jobs.runs.lock import lock_folder
from stepscore_service.jobs.runs.manifest import Manifest, differences, read_manifest

MANIFEST = "manifest.json"


class OutputError(StepscoreError):
    """The output folder cannot be written. detail: path."""

    code = "output_failed"


class OutputFolder:
    """One run's folder. done: shards that are on disk, by index, with their rows and digests."""

    def __init__(self, path: Path, identity: Manifest, made_by: Mapping[str, Any]) -> None:
        """identity: what the labels depend on. made_by: versions and the like, noted only.

        Raises InvalidInput if the folder holds another run's labels or other files, OutputError.
        """
        self.path = path
        self.done: dict[int, dict[str, Any]] = {}
        self._identity = json.loads(json.dumps(identity))
        self._made_by = made_by
        self._lock = self._take_lock()
        try:
            self._read()
        except BaseException:  # nobody else can let go of the lock
            self._lock.close()
            raise

    def keep(self, finished: FinishedShard) -> None:
        """Write a shard's files, then the manifest that names them. Raises OutputError; nothing half remains."""
        files = {f"{kind}-{finished.index:05}.jsonl": text.encode() for kind, text in finished.files.items()}
        for name, content in files.items():
            self._write(name, content)
        self.done[finished.index] = {
            "rows": finished.files[LABELS].count("\n"),
            "totals": dict(finished.totals),
            "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        }
        self._write_manifest()

    @property
    def totals(self) -> dict[str, int]:
        """Over all shards on disk."""
        return sum_totals([entry["totals"] for entry in self.done.values()])

    def close(self) -> None:
        self._lock.close()

    def _take_lock(self) -> IO[str]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return lock_folder(self.path)
        except BlockingIOError as error:
            raise InvalidInput(f"another run is writing {self.path}", path=str(self.path)) from error
        except OSError as error:
            raise _failure(self.path, error) from error

    def _read(self) -> None:
        """Take over what an earlier run of the same kind has finished; damaged shards are made again."""
        manifest = self.path / MANIFEST
        if not manifest.exists():
            found = sorted(file.name for file in self.path.iterdir() if file.suffix == ".jsonl")
            if found:
                raise InvalidInput(f"{self.path} holds {found[0]} but no {MANIFEST}, which says what made it")
            self._write_manifest()
            return
        before = read_manifest(manifest)
        changed = differences(before["run"], self._identity)
        if changed:
            raise InvalidInput(f"{self.path} holds labels of another run: {'; '.join(changed)}", differs=changed)
        entries = {int(index): entry for index, entry in before["shards"].items()}
        self.done = {index: entry for index, entry in entries.items() if self._whole(entry)}

    def _whole(self, entry: Mapping[str, Any]) -> bool:
        files = {self.path / name: digest for name, digest in entry["files"].items()}
        return all(file.is_file() and _digest(file) == digest for file, digest in files.items())

    def _write_manifest(self) -> None:
        shards = {str(index): self.done[index] for index in sorted(self.done)}
        manifest = {"run": self._identity, "made_by": self._made_by, "totals": self.totals, "shards": shards}
        self._write(MANIFEST, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())

    def _write(self, name: str, content: bytes) -> None:
        """Whole or not at all. Raises OutputError."""
        try:
            atomic.write_bytes(self.path / name, content)
        except OSError as error:
            raise _failure(self.path / name, error) from error


def _failure(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or error}", path=str(path))


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
