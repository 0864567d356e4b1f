"""The wire formats of vLLM's /classify and /pooling and of SGLang's /v1/embeddings, as reward clients use them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, FiniteFloat, model_validator

from stepscore_service.schemas.rerank import Usage
from stepscore_service.schemas.score import LimitedBy, Wire

_UNUSED = "not used: the number is the score"


class EngineRequest(Wire):
    """Whole texts in a chat template, or the messages of one chat.

    Options of these engines that change no number here are accepted; those that would are refused, like unknown ones.
    """

    model: str | None = None
    input: Annotated[str | list[str], LimitedBy("max_items")] = Field([], description="texts; token ids are not read")
    messages: list[dict[str, Any]] | None = Field(None, description="one chat, instead of `input`")
    truncate_prompt_tokens: None = Field(None, description="nothing is truncated: a number is an error")
    activation: bool | None = Field(None, description=_UNUSED)
    use_activation: bool | None = Field(None, description=_UNUSED)
    softmax: bool | None = Field(None, description=_UNUSED)
    add_special_tokens: bool | None = Field(None, description="not used")
    priority: int | None = Field(None, description="not used: send the header X-Priority")
    request_id: str | None = Field(None, description="not used: send the header X-Request-Id")
    rid: str | None = Field(None, description="not used: send the header X-Request-Id")
    user: str | None = Field(None, description="not used")

    @model_validator(mode="before")
    @classmethod
    def _no_ids(cls, values: Any) -> Any:
        given = values.get("input") if isinstance(values, dict) else None
        if isinstance(given, list) and any(isinstance(each, int | list) for each in given):
            raise ValueError(
                "`input` holds token ids, and steps are read from text; decode them with the policy's tokenizer and "
                "skip_special_tokens=False, and send the text"
            )
        return values

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if ("input" in self.model_fields_set) == (self.messages is not None):
            raise ValueError("give either `input` or `messages`")
        return self

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


def _not_normalized(value: bool | None) -> bool | None:
    if value:
        raise ValueError("numbers are answered as they are; send normalize=false")
    return value


NeverNormalized = Annotated[bool | None, AfterValidator(_not_normalized)]


class PoolingRequest(EngineRequest):
    """A request whose answer is a row of numbers for each step."""

    encoding_format: Literal["float"] = "float"
    normalize: NeverNormalized = None
    task: Literal["encode", "token_classify"] | None = Field(None, description="not used: there is one")


class EmbeddingsRequest(EngineRequest):
    """A request whose answer is one number for each text, as a list or as OpenAI's client asks for it."""

    encoding_format: Literal["float", "base64"] = Field("float", description="base64: of float32, little endian")
    dimensions: int | None = Field(None, ge=1, le=1, description="a text has one number")
    normalize: NeverNormalized = None


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
    """embedding: the one number of the text, as a list or as the base64 of a float32."""

    index: int
    object: Literal["embedding"] = "embedding"
    embedding: list[FiniteFloat] | str


class EmbeddingsAnswer(BaseModel):
    """SGLang's answer of /v1/embeddings."""

    object: Literal["list"] = "list"
    model: str
    data: list[EmbeddedItem]
    usage: Usage
