"""The wire format of /v1/models/{id}/reload."""

from __future__ import annotations

from pydantic import BaseModel, Field

from stepscore_service.schemas.score import Wire


class ReloadRequest(Wire):
    """Which weights to load."""

    path: str | None = Field(None, description="a checkpoint's folder on the server, or a Hub id; by default the last")


class ReloadAnswer(BaseModel):
    """Which weights answer from now on."""

    model: str
    family: str
    revision: str = Field(description="names the weights that are served now")
    previous_revision: str
