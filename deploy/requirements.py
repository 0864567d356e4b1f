"""Print the requirements of extras of pyproject.toml, for a layer that does not change with the source.

python requirements.py EXTRA...
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path


def requirements(pyproject: Path, extras: Sequence[str]) -> list[str]:
    """Of the project and the extras; what one extra takes from another by `stepscore[...]` is left out."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for extra in extras for each in optional[extra])]
    return [each for each in wanted if not each.startswith(f"{project['name']}[")]


if __name__ == "__main__":
    beside = Path(__file__).parent / "pyproject.toml"
    print("\n".join(requirements(beside, sys.argv[1:])))  # noqa: T201
