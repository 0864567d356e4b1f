"""The names of what a request carries in `scope["state"]` from one part of the application to another."""

from __future__ import annotations

FACTS = "stepscore.facts"
"""Its RequestFacts."""
CODE = "stepscore.code"
"""The code of the error that it is answered with."""
CALLER = "stepscore.caller"
"""The ApiKey that it was sent with, or None."""
REFUSAL = "stepscore.refusal"
"""The error with which the door wants it answered."""
