"""The wire format of OpenRLHF's remote reward model."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, FiniteFloat, model_validator

from stepscore_service.schemas.score import LimitedBy, Wire


class OpenRlhfRequest(Wire):
    """Whole texts in the policy's chat template. An empty list is sent to the further servers of a trainer."""

    query: Annotated[list[str], LimitedBy("max_items")] = Field(description="prompt and response, special tokens kept")
    prompts: list[str] = Field(default_factory=list, description="the prompts, in the same template")
    labels: list[Any] | None = Field(None, description="not used")

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        for name, given in (("prompts", self.prompts), ("labels", self.labels)):
            if given and len(given) != len(self.query):
                raise ValueError(f"`query` and `{name}` must have the same length")
        return self


class OpenRlhfAnswer(BaseModel):
    """Parallel lists, one entry for each query. scores: for filtering; absent if rewards may lie outside [0, 1]."""

    rewards: list[FiniteFloat]
    scores: list[Annotated[FiniteFloat, Field(ge=0, le=1)]] = Field(default_factory=list)
    extra_logs: dict[str, list[FiniteFloat]]
