"""The wire format of a NeMo-Gym resources server's /verify."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat


class ResponsesParams(BaseModel):
    """What the policy was asked, in OpenAI's Responses format."""

    model_config = ConfigDict(extra="allow")

    input: str | list[dict[str, Any]]


class ResponsesOutput(BaseModel):
    """What the policy answered: messages, reasoning and calls."""

    model_config = ConfigDict(extra="allow")

    output: list[dict[str, Any]]


class VerifyRequest(BaseModel):
    """Fields of the environment come along and are sent back."""

    model_config = ConfigDict(extra="allow")

    responses_create_params: ResponsesParams
    response: ResponsesOutput


class VerifyAnswer(VerifyRequest):
    """What was sent, with the reward."""

    reward: FiniteFloat
    reward_components: dict[str, FiniteFloat] = Field(default_factory=dict)
