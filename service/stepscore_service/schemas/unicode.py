"""Lone surrogates: halves of a pair, which Python's texts and JSON's escapes can hold and UTF-8 cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def find_surrogate(value: Any) -> str:
    """Where JSON-like data first holds a lone surrogate, as `items.3.steps.0`; "" if nowhere.

    A key that holds one is named as the place of its value.
    """
    path = _path_to_surrogate(value)
    return "" if path is None else ".".join(path) or "the text"


def _path_to_surrogate(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return None if _is_text(value) else ()
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, each in pairs:
        path = () if isinstance(key, str) and not _is_text(key) else _path_to_surrogate(each)
        if path is not None:
            return (_show(key), *path)
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _show(key: object) -> str:
    return str(key).encode(errors="backslashreplace").decode()
