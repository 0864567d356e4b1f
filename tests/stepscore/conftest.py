"""What tests of sandbox and of proofs need of the machine."""

from __future__ import annotations

import os
import shutil

import pytest

from stepscore.errors import SandboxUnavailable
from stepscore.sandbox.sandbox import Sandbox


@pytest.fixture(scope="session")
def sandbox_available() -> None:
    """Skips where the kernel cannot sandbox a program; fails instead where CI wants every test run."""
    try:
        Sandbox()
    except SandboxUnavailable as error:
        _lacking(error.message)


@pytest.fixture(scope="session")
def coqc() -> None:
    """Skips without coqc, as `sandbox_available` does."""
    if shutil.which("coqc") is None:
        _lacking("coqc is not on this machine (see .ci/packages.txt)")


def _lacking(message: str) -> None:
    if os.environ.get("REQUIRE_SYSTEM_TOOLS") == "1":
        pytest.fail(message)
    pytest.skip(message)
