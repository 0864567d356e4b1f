"""`python -m theirs`, in the authors' environment: a request as JSON on standard input, results on standard output."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from pathlib import Path

import transformers
from theirs.job import Job


def main() -> None:
    transformers.logging.set_verbosity_error()
    asked = json.load(sys.stdin)
    base = Path(asked["base"]) if asked["base"] else None
    job = Job(Path(asked["checkouts"]), Path(asked["checkpoint"]), base, asked["options"])
    module, function = asked["adapter"].split(".")
    score = getattr(importlib.import_module(f"theirs.{module}"), function)
    with contextlib.redirect_stdout(sys.stderr):
        found = score(job, [(problem, steps) for problem, steps in asked["cases"]])
    json.dump(found, sys.stdout)


main()
