"""The wire format of text-embeddings-inference's /rerank."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, FiniteFloat, field_validator

from stepscore_service.schemas.score import LimitedBy, Wire


class TeiRequest(Wire):
    """A problem and its candidates."""

    query: str
    texts: Annotated[list[str], LimitedBy("max_candidates")]
    raw_scores: bool = Field(False, description="not used: a score is the aggregate of step rewards")
    return_text: bool = False
    truncate: bool | None = Field(None, description="nothing is truncated: true is an error")
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = Field(None, description="not used")

    @field_validator("truncate")
    @classmethod
    def _never(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("nothing is truncated here; send truncate=false")
        return value


class TeiLabels(BaseModel):
    """The one label of a reranker."""

    id2label: dict[str, str] = Field(default_factory=lambda: {"0": "score"})
    label2id: dict[str, int] = Field(default_factory=lambda: {"score": 0})


class TeiReranker(BaseModel):
    """The kind of model that answers /rerank."""

    reranker: TeiLabels = Field(default_factory=TeiLabels)


class TeiInfo(BaseModel):
    """What clients ask before they rank."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    model_type: TeiReranker = Field(default_factory=TeiReranker)
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None = None
    max_client_batch_size: int
    auto_truncate: bool = False
    tokenization_workers: int = 1
    version: str
    sha: str | None = None
    docker_label: str | None = None


class TeiRank(BaseModel):
    """One text. index: its place as it was sent."""

    index: int
    score: FiniteFloat
    text: str | None = None
