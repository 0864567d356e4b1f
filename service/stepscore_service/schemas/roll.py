"""The wire format of ROLL's remote reward system: submit a sample, then ask for its reward."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from stepscore_service.schemas.score import Wire


class RollSubmit(Wire):
    """One sample. What else the trainer sends (project, step, ground truth) changes nothing here."""

    model_config = ConfigDict(extra="allow")

    prompt: str | list[dict[str, Any]]
    response: str
    timeout: float = Field(300.0, gt=0.0, le=86_400.0, description="seconds after which nobody asks any more")


class RollTicket(BaseModel):
    """Under which id to ask."""

    errcode: Literal[0] = 0
    reward_request_id: str


class RollQuery(Wire):
    """The id that a submission gave."""

    model_config = ConfigDict(extra="allow")

    reward_request_id: str


class RollResult(BaseModel):
    """errcode: 0 done, 1 running, 2 failed (errmsg says why; there is no reward then). Times in seconds."""

    errcode: Literal[0, 1, 2]
    errmsg: str | None = None
    reward_score: FiniteFloat | None = None
    dimention_reward_score: dict[str, FiniteFloat] | None = Field(
        None, description="every aggregate; spelt as ROLL does"
    )
    start_time: float
    end_time: float | None = None
