"""Rules for every test. Tiny models run on one thread: more only cost.

A test states the dtype of every model that it opens. What depends on the CPU's bfloat16 units (dtype `auto`, attention
in bfloat16) is marked `cpu_probe`, and is an error in every other test; `make test-cpu-probe` runs the marked tests
without and with such units.
"""

from __future__ import annotations

import os

import pytest
import torch

from stepscore.config import CPU_BFLOAT16

torch.set_num_threads(1)

OF_PLUGINS = {
    "asyncio": ("asyncio_mode", "asyncio_default_fixture_loop_scope"),
    "timeout": ("timeout",),
}
"""Options in pyproject.toml of plugins that a GPU machine may lack; the tests of the GPU need neither."""

FORCED = os.environ.get(CPU_BFLOAT16)
UNSTATED = "unknown in tests that are not marked cpu_probe"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Looking at the CPU's flags is an error in tests that are not marked, and in the processes that they start."""
    chosen = FORCED if item.get_closest_marker("cpu_probe") else UNSTATED
    if chosen is None:
        os.environ.pop(CPU_BFLOAT16, None)
    else:
        os.environ[CPU_BFLOAT16] = chosen


def pytest_addoption(parser, pluginmanager):
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing")
    for plugin, options in OF_PLUGINS.items():
        if not pluginmanager.hasplugin(plugin):
            for option in options:
                parser.addini(option, f"of {plugin}, which is not installed")


@pytest.fixture(scope="session")
def embedded_url():
    """The base URL of a service with the checkpoint that ships, one for the whole run."""
    import embedded_case  # a machine that only runs the tests of the GPU has no web framework
    from service_case import live

    with live({"embedded": embedded_case.scorer()}) as url:
        yield url
