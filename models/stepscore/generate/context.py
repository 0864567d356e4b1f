"""A prompt that leaves no room in the model's context: one `reason` for it, whoever says so in whichever words."""

from __future__ import annotations

CONTEXT = "context"
"""The `reason` of a GeneratorError whose prompt does not fit."""

_PHRASES = ("context length", "maximum model length")
"""vLLM's and SGLang's words."""


def is_context(message: str) -> bool:
    return any(phrase in message for phrase in _PHRASES)
