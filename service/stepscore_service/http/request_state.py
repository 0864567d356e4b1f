"""The names of what a request carries in `scope["state"]` from one part of the application to another."""

from __future__ import annotations

from starlette.routing import Match
from starlette.types import Scope

FACTS = "stepscore.facts"
"""Its RequestFacts."""
CODE = "stepscore.code"
"""The code of the error that it is answered with."""
CALLER = "stepscore.caller"
"""The ApiKey that it was sent with, or None."""
REFUSAL = "stepscore.refusal"
"""The error with which the door wants it answered."""


def route_of(scope: Scope) -> str:
    """The path of the route as it is declared, also of a request that was answered before it came so far."""
    found = scope.get("route")
    if found is None and "app" in scope:
        found = next((each for each in scope["app"].routes if each.matches(scope)[0] is not Match.NONE), None)
    return str(getattr(found, "path", "unmatched"))
