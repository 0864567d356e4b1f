"""One self-contained page that shows the trees of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any


def viewer_page(traces: Sequence[dict[str, Any]], method: str, about: str, threshold: float | None) -> str:
    """HTML that needs nothing from outside.

    traces: as `stepscore.search.searcher.trace_of` makes them, each optionally with `correct`.
    threshold: drawn as a line across the bars; None if rewards are not probabilities.
    """
    page = files("stepscore_service.jobs.search").joinpath("viewer.html").read_text(encoding="utf-8")
    run = {"method": method, "about": about, "threshold": threshold, "traces": list(traces)}
    return page.replace("__RUN__", _for_script(run))


def _for_script(value: object) -> str:
    """JSON that cannot end the script element that holds it."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
