"""Published data that the commands read: where it is, under which licence, and how it is fetched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs.atomic import atomic_file
from stepscore_service.jobs.runs.progress import ProgressDisplay

HUB = "https://huggingface.co"
GITHUB = "https://raw.githubusercontent.com"
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0


@dataclass(frozen=True, slots=True)
class PublishedData:
    """source: the address of a folder of files; `hub:` begins the name of a dataset. use: of which command."""

    source: str
    files: tuple[str, ...]
    licence: str
    use: str

    def address(self, file: str) -> str:
        """HF_ENDPOINT names another Hub, such as a mirror."""
        repository = self.source.removeprefix("hub:")
        if repository == self.source:
            return f"{self.source}/{file}"
        return f"{os.environ.get('HF_ENDPOINT', HUB).rstrip('/')}/datasets/{repository}/resolve/main/{file}"


PUBLISHED: Mapping[str, PublishedData] = {
    "processbench": PublishedData(
        "hub:Qwen/ProcessBench",
        ("gsm8k.json", "math.json", "olympiadbench.json", "omnimath.json"),
        "Apache-2.0",
        "evaluate --processbench",
    ),
    "prmbench": PublishedData(
        "hub:hitsmy/PRMBench_Preview", ("prmbench_preview.jsonl",), "Apache-2.0", "evaluate --prmbench"
    ),
    "prm800k": PublishedData(
        "hub:tasksource/PRM800K", ("phase2_test.jsonl", "phase2_train.jsonl"), "MIT", "train; annotate import"
    ),
    "math-shepherd": PublishedData("hub:peiyi9979/Math-Shepherd", ("math-shepherd.jsonl",), "none is stated", "train"),
    "gsm8k": PublishedData(
        f"{GITHUB}/openai/grade-school-math/master/grade_school_math/data",
        ("train.jsonl", "test.jsonl", "example_model_solutions.jsonl"),
        "MIT",
        "label; rerank after benchmarks/gsm8k_candidates.py",
    ),
}


def published_data(name: str) -> PublishedData:
    """Raises InvalidInput with the names that exist."""
    if name not in PUBLISHED:
        raise InvalidInput(f"no data is called {name!r}; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def download(data: PublishedData, file: str, folder: Path) -> Path:
    """The file in the folder; one that is there already is kept. Raises InvalidInput if it cannot be had, OSError."""
    path, address = folder / file, data.address(file)
    if path.exists():
        return path
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    try:
        with httpx.stream("GET", address, follow_redirects=True, timeout=timeout) as answer:
            answer.raise_for_status()
            _write(answer, path)
    except httpx.HTTPStatusError as error:
        raise InvalidInput(f"{address} answers {error.response.status_code}", address=address) from error
    except httpx.HTTPError as error:
        raise InvalidInput(
            f"{address} cannot be reached from here ({error or type(error).__name__}). Fetch it on another machine and "
            f"put it into {folder}; HF_ENDPOINT names a mirror of the Hub",
            address=address,
        ) from error
    return path


def _write(answer: httpx.Response, path: Path) -> None:
    total = int(answer.headers.get("content-length", 0)) or None
    with atomic_file(path) as file, ProgressDisplay("bytes", total) as display:
        for part in answer.iter_bytes():
            file.write(part)
            display.advance(len(part))
