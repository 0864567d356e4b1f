"""A labelling run: shards that are not done yet, one after the other, each written before the next begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from stepscore_service.jobs.label.folder import OutputFolder
from stepscore_service.jobs.label.shard import Finished, Shard
from stepscore_service.jobs.label.tools import Tools

Label = Callable[[Iterable[Shard]], Iterator[Finished]]
"""Shards in, the finished ones out, in whatever order they are done."""


def run(shards: Iterable[Shard], folder: OutputFolder, label: Label, told: Callable[[Finished], None]) -> None:
    """Label what the folder lacks. Raises StepscoreError; every shard that was finished before is on disk."""
    missing = (shard for shard in shards if shard.index not in folder.done)
    for finished in label(missing):
        folder.keep(finished)
        told(finished)


def here(tools: Tools) -> Label:
    """Label in this process."""
    return lambda shards: map(tools.label, shards)
