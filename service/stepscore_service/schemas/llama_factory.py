"""The wire format of LLaMA-Factory's reward model over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, FiniteFloat

from stepscore_service.schemas.score import LimitedBy, Wire


class LlamaFactoryRequest(Wire):
    """Whole texts in the policy's chat template."""

    model: str = Field("model", description="not used: the trainer always sends `model`; name one in the URL")
    messages: Annotated[list[str], LimitedBy("max_items")] = Field(
        description="prompt and response, special tokens kept"
    )
    max_length: None = Field(None, description="nothing is truncated: a number is an error")


class LlamaFactoryAnswer(BaseModel):
    """One number for each text."""

    id: str
    object: Literal["score.evaluation"] = "score.evaluation"
    model: str
    scores: list[FiniteFloat]
