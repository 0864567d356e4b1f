"""`stepscore version`: what is installed."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed

from stepscore_service.jobs.runs import console

PACKAGES = ("torch", "transformers", "fastapi")


def version() -> None:
    """Print the versions of Stepscore, Python and the packages that decide its numbers."""
    if console.speaks_json():
        versions = {package: installed(package) for package in ("stepscore", *PACKAGES)}
        console.write_json({**versions, "python": platform.python_version()})
        return
    console.OUT.print(f"stepscore {installed('stepscore')}")
    parts = [f"python {platform.python_version()}", *(f"{package} {installed(package)}" for package in PACKAGES)]
    console.OUT.print(", ".join(parts))
