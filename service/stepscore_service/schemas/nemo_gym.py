"""The wire format of a NeMo-Gym resources server's /verify."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, FiniteFloat

from stepscore_service.schemas.score import Wire


class ResponsesParams(Wire):
    """What the policy was asked, in OpenAI's Responses format."""

    model_config = ConfigDict(extra="allow")

    input: str | list[dict[str, Any]]


class ResponsesOutput(Wire):
    """What the policy answered: messages, reasoning and calls."""

    model_config = ConfigDict(extra="allow")

    output: list[dict[str, Any]]


class VerifyRequest(Wire):
    """Fields of the environment come along and are sent back."""

    model_config = ConfigDict(extra="allow")

    responses_create_params: ResponsesParams
    response: ResponsesOutput


class VerifyAnswer(VerifyRequest):
    """What was sent, with the reward."""

    reward: FiniteFloat
    reward_components: dict[str, FiniteFloat] = Field(default_factory=dict)
