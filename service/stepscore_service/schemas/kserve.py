"""The wire format of the Open Inference Protocol (KServe v2), as JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class InferTensor(BaseModel):
    """One named tensor; BYTES are texts."""

    model_config = ConfigDict(extra="ignore")

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferRequest(BaseModel):
    """Either `problem` [1] and `steps` [S], or `problem` [B] or [1] and `solution` [B]."""

    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    inputs: list[InferTensor]


class OutputTensor(BaseModel):
    """One named tensor of the answer."""

    name: str
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
