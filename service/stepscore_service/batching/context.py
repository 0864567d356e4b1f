"""On what terms a request is computed: until when, and for whom."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """deadline: on the monotonic clock; then nothing more is computed. tenant: computed prefixes stay within one."""

    deadline: float | None = None
    tenant: str = ""
