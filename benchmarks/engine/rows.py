"""Rows of finished workloads, kept while a run lasts, so that one that is killed or stopped continues."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One way to do one workload. seconds: of a processor, or of a GPU; peak_share: of the linear layers, padding
    included; difference: the largest one of a reward from fp32 computed one at a time."""

    workload: str
    way: str
    asked: int
    computed: int
    seconds: float
    peak_share: float
    difference: float


class RowFile:
    """One line a workload: what was measured how, and its rows. Lines of other settings are left alone."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        self._settings = json.loads(json.dumps(settings))
        self.done = {line["workload"]: [Row(**row) for row in line["rows"]] for line in self._lines()}

    def append(self, workload: str, rows: Sequence[Row]) -> None:
        self.done[workload] = list(rows)
        line = {"settings": self._settings, "workload": workload, "rows": [asdict(row) for row in rows]}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _lines(self) -> list[dict[str, Any]]:
        """The lines of these settings. A last line without an end was torn by a kill and is cut off."""
        if not self._path.exists():
            return []
        written = self._path.read_text(encoding="utf-8")
        whole = written[: written.rfind("\n") + 1]
        if whole != written:
            self._path.write_text(whole, encoding="utf-8")
        return [line for line in map(json.loads, whole.splitlines()) if line["settings"] == self._settings]
