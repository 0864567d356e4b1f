"""The wire format of the Open Inference Protocol (KServe v2), as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from stepscore_service.schemas.score import Wire

InputName = Literal["problem", "steps", "solution"]
OutputName = Literal["score", "rewards", "steps"]


class InferParameters(Wire):
    """What Triton's client sends with every request; the answer is JSON, whatever they say."""

    binary_data: bool | None = Field(None, description="not used")
    binary_data_output: bool | None = Field(None, description="not used")


class InferTensor(Wire):
    """One named tensor of texts."""

    name: InputName
    shape: list[NonNegativeInt]
    datatype: Literal["BYTES"]
    data: list[str]
    parameters: InferParameters | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if math.prod(self.shape) != len(self.data):
            raise ValueError(f"the shape {self.shape} does not fit the data, which has {len(self.data)} entries")
        return self


class RequestedOutput(Wire):
    """One tensor of the answer that the caller wants."""

    name: OutputName
    parameters: InferParameters | None = None


def _named_once(tensors: Sequence[Any]) -> Any:
    names = [tensor.name for tensor in tensors]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"the tensor {repeated[0]!r} comes more than once; send each name once")
    return tensors


class InferRequest(Wire):
    """Either `problem` [1] and `steps` [S], or `problem` [B] or [1] and `solution` [B].

    outputs: the tensors that are answered, in this order; all of them by default.
    """

    model_config = ConfigDict(protected_namespaces=())

    id: str | None = None
    model_name: str | None = Field(None, description="the model that the path names, if it is said twice")
    inputs: Annotated[list[InferTensor], AfterValidator(_named_once)]
    outputs: Annotated[list[RequestedOutput], AfterValidator(_named_once)] | None = None
    parameters: InferParameters | None = None


class OutputTensor(BaseModel):
    """One named tensor of the answer."""

    name: OutputName
    shape: list[int]
    datatype: Literal["FP32", "INT32", "BYTES"]
    data: list[float] | list[int]


class InferAnswer(BaseModel):
    """`score` [B]; `rewards` of all solutions in one row; `steps` [B] says how many belong to each."""

    id: str
    model_name: str
    model_version: str
    outputs: list[OutputTensor]


class TensorMetadata(BaseModel):
    """A tensor of a model; -1 is any length."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str = "stepscore"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str = "stepscore"
    version: str
    extensions: list[str] = Field(default_factory=list)


class ServerLive(BaseModel):
    live: bool = True


class ServerReady(BaseModel):
    ready: bool
