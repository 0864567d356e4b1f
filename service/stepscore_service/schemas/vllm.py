"""The wire formats of vLLM's /classify and /pooling and of SGLang's /v1/embeddings, as reward clients use them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from stepscore_service.schemas.rerank import Usage
from stepscore_service.schemas.score import LimitedBy


class EngineRequest(BaseModel):
    """Whole texts in a chat template, or the messages of one chat.

    Further fields (activation, encoding_format, …) are options of another engine that change nothing here: they are
    accepted, so that its clients stay as they are.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str | None = None
    input: Annotated[str | list[str], LimitedBy("max_items")] = Field([], description="texts; token ids are not read")
    messages: list[dict[str, Any]] | None = Field(None, description="one chat, instead of `input`")

    @model_validator(mode="before")
    @classmethod
    def _no_ids(cls, values: Any) -> Any:
        given = values.get("input") if isinstance(values, dict) else None
        if isinstance(given, list) and any(isinstance(each, int | list) for each in given):
            raise ValueError("`input` holds token ids; send texts, from which the steps can be read")
        return values

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if ("input" in self.model_fields_set) == (self.messages is not None):
            raise ValueError("give either `input` or `messages`")
        return self

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class ClassifiedItem(BaseModel):
    """probs: the one number of the text."""

    index: int
    label: str | None = None
    probs: list[FiniteFloat]
    num_classes: int = 1


class ClassifyAnswer(BaseModel):
    """vLLM's answer of /classify."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[ClassifiedItem]
    usage: Usage


class PooledItem(BaseModel):
    """data: one row for each step: (1 - reward, reward) of a probability, (reward,) of another number."""

    index: int
    object: Literal["pooling"] = "pooling"
    data: list[list[FiniteFloat]]


class PoolingAnswer(BaseModel):
    """vLLM's answer of /pooling."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[PooledItem]
    usage: Usage


class EmbeddedItem(BaseModel):
    """embedding: the one number of the text."""

    index: int
    object: Literal["embedding"] = "embedding"
    embedding: list[FiniteFloat]


class EmbeddingsAnswer(BaseModel):
    """SGLang's answer of /v1/embeddings."""

    object: Literal["list"] = "list"
    model: str
    data: list[EmbeddedItem]
    usage: Usage
