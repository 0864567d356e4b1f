"""One tiny checkpoint and one live service for all tests of the session."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog

import checkpoints
from service_case import connect, fake_scorer, live, torch_scorer


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.qwen_math(tmp_path_factory.mktemp("service") / "tiny-prm")


@pytest.fixture
def logs_restored() -> Iterator[None]:
    """What `serve` does to logging is undone."""
    handlers, level = logging.getLogger().handlers, logging.getLogger().level
    yield
    logging.getLogger().handlers = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def separator_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.token_classification(tmp_path_factory.mktemp("service") / "tiny-trl")


@pytest.fixture(scope="session")
def url(folder: Path) -> Iterator[str]:
    """A service with two models: `tiny` runs the true engine, `fake` the one without weights."""
    with live({"tiny": torch_scorer(folder, "tiny"), "fake": fake_scorer(folder)}) as address:
        yield address


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with connect(url) as client:
        yield client
