"""Tiny judges, one for each chat template."""

from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints_judges


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints_judges.judge(tmp_path_factory.mktemp("judges") / "qwen")


@pytest.fixture(scope="module")
def r1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints_judges.judge(tmp_path_factory.mktemp("judges") / "r1", kind="r1")
