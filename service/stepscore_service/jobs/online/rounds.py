"""The numbered rounds of online updates in one folder: each a checkpoint, its optimiser, and what it was made of.

A round is written beside the others under another name and renamed when it is whole, so a kill leaves all the rounds
before it, and the same command makes it again.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepscore.errors import InvalidInput, StepscoreError
from stepscore_service.jobs.runs.atomic import atomic_folder

MANIFEST, OPTIMISER, REWARDS = "update.json", "optimiser.pt", "rewards.jsonl"
_NAME = re.compile(r"round-(\d{6})")


@dataclass(frozen=True, slots=True)
class Round:
    """number: from 1. made_of: what update.json holds: settings, digest of the rollouts, metrics."""

    number: int
    folder: Path
    made_of: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rounds:
    """keep: how many of the newest stay; a server may still open the one before the last."""

    folder: Path
    keep: int = 3

    def last(self) -> Round | None:
        found = self._numbered_folders()
        if not found:
            return None
        number, folder = found[-1]
        return Round(number, folder, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))

    @contextmanager
    def next(self) -> Iterator[Path]:
        """A folder to fill; it becomes the next round when the block ends without an error."""
        found = self._numbered_folders()
        number = found[-1][0] + 1 if found else 1
        whole = self.folder / f"round-{number:06d}"
        with atomic_folder(whole) as part:
            try:
                yield part
            except StepscoreError:  # it says what to change, so this part is of no use to anyone
                shutil.rmtree(part)
                raise
        for _, old in self._numbered_folders()[: -self.keep]:
            shutil.rmtree(old)

    def check(self, settings: Mapping[str, Any]) -> Round | None:
        """The last round. Raises InvalidInput if it was made with other settings, which one run never mixes."""
        last = self.last()
        if last is not None and last.made_of["settings"] != dict(settings):
            raise InvalidInput(
                f"{self.folder} was begun with {last.made_of['settings']}; continue with them, or choose another --out"
            )
        return last

    def _numbered_folders(self) -> list[tuple[int, Path]]:
        matches = [(_NAME.fullmatch(path.name), path) for path in self.folder.glob("round-*")]
        return sorted((int(match[1]), path) for match, path in matches if match)
