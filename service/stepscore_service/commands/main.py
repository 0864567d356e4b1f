"""The program `stepscore`. It starts in a base installation too, to say which extra it needs."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import requires

DISTRIBUTIONS = {"sklearn": "scikit-learn", "opentelemetry": "opentelemetry-sdk"}
"""Of modules that are called otherwise than what brings them."""
_REQUIREMENT = re.compile(r"([\w.-]+).*extra == ['\"](\w+)['\"]")


def main() -> None:
    """Run the command line. Without a package that the command needs, name the extra that brings it; status 2."""
    try:
        from stepscore_service.commands.cli import app

        app()
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "", requires("stepscore") or ())
        if extra is None:
            raise
        print(missing(error.name or "", extra), file=sys.stderr)  # noqa: T201
        sys.exit(2)


def extra_of(module: str, requirements: Iterable[str]) -> str | None:
    """The smallest extra that brings a module, or None. requirements: as the metadata of the distribution list them.

    An extra that includes another one lists all that the other brings.
    """
    root = module.partition(".")[0]
    wanted = DISTRIBUTIONS.get(root, root.replace("_", "-"))
    extras = defaultdict[str, set[str]](set)
    for found in filter(None, map(_REQUIREMENT.match, requirements)):
        extras[found[2]].add(found[1].lower())
    bringing = [extra for extra, brought in extras.items() if wanted in brought]
    return min(bringing, key=lambda extra: len(extras[extra]), default=None)


def missing(module: str, extra: str) -> str:
    return f'stepscore: this needs {module}, which is not installed: pip install "stepscore[{extra}]"'


if __name__ == "__main__":
    main()
