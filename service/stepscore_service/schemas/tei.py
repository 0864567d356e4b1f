"""The wire format of text-embeddings-inference's /rerank."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, FiniteFloat, field_validator

from stepscore_service.schemas.score import LimitedBy, Wire


class TeiRequest(Wire):
    """A problem and its candidates."""

    query: str
    texts: Annotated[list[str], LimitedBy("max_candidates")]
    raw_scores: bool = Field(False, description="not used: a score is the aggregate of step rewards")
    return_text: bool = False
    truncate: bool | None = Field(None, description="nothing is truncated: true is an error")
    truncation_direction: str | None = Field(None, description="not used")

    @field_validator("truncate")
    @classmethod
    def _never(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("nothing is truncated here; send truncate=false")
        return value


class TeiRank(BaseModel):
    """One text. index: its place as it was sent."""

    index: int
    score: FiniteFloat
    text: str | None = None
