"""What tests of confinement and of proofs need of the machine."""

from __future__ import annotations

import os
import shutil

import pytest

from stepscore.errors import SandboxUnavailable
from stepscore.sandbox.confinement import Confinement


@pytest.fixture(scope="session")
def confinable() -> None:
    """Skips where the kernel cannot confine a program; fails instead where CI wants every test run."""
    try:
        Confinement()
    except SandboxUnavailable as error:
        _lacking(error.message)


@pytest.fixture(scope="session")
def coqc() -> None:
    """Skips without coqc, as `confinable` does."""
    if shutil.which("coqc") is None:
        _lacking("coqc is not on this machine (see .ci/packages.txt)")


def _lacking(message: str) -> None:
    if os.environ.get("REQUIRE_SYSTEM_TOOLS") == "1":
        pytest.fail(message)
    pytest.skip(message)
