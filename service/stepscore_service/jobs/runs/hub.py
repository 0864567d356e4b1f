"""Datasets of the Hub as input: `hub:OWNER/NAME`, with `:SPLIT` or `:CONFIG:SPLIT` after it.

A dataset is fetched once, into the cache of the datasets library, and read from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs import console

PREFIX = "hub:"
FORM = "hub:OWNER/NAME, hub:OWNER/NAME:SPLIT or hub:OWNER/NAME:CONFIG:SPLIT"


@dataclass(frozen=True, slots=True)
class HubDataset:
    """config, split: "" for the only one."""

    name: str
    config: str = ""
    split: str = ""

    @classmethod
    def parse(cls, address: str) -> HubDataset:
        """Raises InvalidInput."""
        name, *rest = address.removeprefix(PREFIX).split(":")
        if name.count("/") != 1 or not all(name.split("/")) or len(rest) > 2 or not all(rest):
            raise InvalidInput(f"is not the address of a dataset: {FORM}")
        return cls(name, *rest) if len(rest) == 2 else cls(name, split="".join(rest))


def is_hub(path: str) -> bool:
    return path.startswith(PREFIX)


def file_name(address: str) -> str:
    """What results of a dataset are called."""
    return address.removeprefix(PREFIX).replace("/", "-").replace(":", "-")


def hub_rows(address: str) -> Iterator[dict[str, Any]]:
    """Raises InvalidInput if the dataset cannot be had, or if one of several splits or configurations must be named."""
    yield from _load(HubDataset.parse(address))


@lru_cache(maxsize=8)
def _load(wanted: HubDataset) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InvalidInput("is a dataset of the Hub, which needs datasets: pip install 'stepscore[hub]'") from error
    if not console.ERR.is_terminal:
        datasets.disable_progress_bars()
    try:
        with console.status(f"Fetching {wanted.name}"):
            return datasets.load_dataset(wanted.name, wanted.config or None, split=_split(datasets, wanted))
    except (OSError, ValueError) as error:  # all that the library raises: no such dataset, no network, no such split
        raise InvalidInput(_why(wanted, error)) from error


def _split(datasets: Any, wanted: HubDataset) -> str:
    """The split, which must be named if there are several."""
    splits = datasets.get_dataset_split_names(wanted.name, wanted.config or None)
    if wanted.split in splits:
        return wanted.split
    if wanted.split or len(splits) > 1:
        there_are = ", ".join(splits)
        raise ValueError(f"there are the splits {there_are}: give one, as {PREFIX}{wanted.name}:{splits[0]}")
    return str(splits[0])


def _why(wanted: HubDataset, error: Exception) -> str:
    said = next(iter(filter(None, map(str.strip, str(error).splitlines()))), type(error).__name__).rstrip(".")
    if isinstance(error, ConnectionError):
        return (
            f"cannot be fetched, since the Hub cannot be reached from here ({said}). Download the files of "
            f"{wanted.name} on another machine and give those; HF_ENDPOINT names a mirror"
        )
    if isinstance(error, OSError):
        return f"cannot be fetched: {said}. Is there a public dataset {wanted.name}, or a token for it (HF_TOKEN)?"
    return f"cannot be read: {said}"
