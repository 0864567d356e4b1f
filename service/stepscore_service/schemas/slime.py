"""The wire format of slime's and miles' remote reward model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, FiniteFloat

from stepscore_service.schemas.score import Wire


class SlimeRequest(Wire):
    """One sample."""

    prompt: str | list[dict[str, Any]] = Field(description="a text, templated or not, or the messages of a chat")
    response: str
    label: Any = Field(None, description="not used")


class SlimeAnswer(BaseModel):
    """With ?format=dict, for --reward-key score."""

    score: FiniteFloat
    steps: list[FiniteFloat]
    first_error: int | None
    scored: bool = Field(description="false for an item that got the lowest reward instead of its own")
