"""Stop texts: where a completion ends."""

from __future__ import annotations

from collections.abc import Sequence


def first_stop(text: str, stops: Sequence[str]) -> tuple[int, str] | None:
    """The stop text that ends the completion (the earliest, then the longest) and where it begins."""
    found = [(text.find(stop), -len(stop), stop) for stop in stops if stop and stop in text]
    if not found:
        return None
    start, _, stop = min(found)
    return start, stop


def cut(text: str, stops: Sequence[str], *, keep: bool) -> tuple[str, str | None]:
    """The text up to its first stop text, with it if `keep` says so, and that stop text."""
    found = first_stop(text, stops)
    if found is None:
        return text, None
    start, stop = found
    return text[: start + len(stop) if keep else start], stop
