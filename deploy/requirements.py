"""Print the requirements of extras of pyproject.toml, for a layer that does not change with the source.

python requirements.py EXTRA...
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

OWN = re.compile(r"stepscore\[(.+)\]")


def requirements(pyproject: Path, extras: Sequence[str]) -> list[str]:
    """Of the project and the extras, and of the extras that these take in; each once."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return list(dict.fromkeys([*project["dependencies"], *_of(extras, project["optional-dependencies"])]))


def _of(extras: Sequence[str], optional: dict[str, list[str]]) -> Iterator[str]:
    for requirement in (each for extra in extras for each in optional[extra]):
        own = OWN.fullmatch(requirement)
        if own:
            yield from _of([name.strip() for name in own[1].split(",")], optional)
        else:
            yield requirement


if __name__ == "__main__":
    print("\n".join(requirements(Path(__file__).with_name("pyproject.toml"), sys.argv[1:])))
