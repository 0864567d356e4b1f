"""Fixtures for every test. Tiny models run on one thread: more only cost."""

from __future__ import annotations

import torch

torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing")
