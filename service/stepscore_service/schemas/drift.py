"""The wire format of /v1/drift: scores of each policy version against those of the first one."""

from __future__ import annotations

from pydantic import BaseModel, Field


class DriftOfVersion(BaseModel):
    """One policy version; psi, ks and ks_p_value are null while there are fewer than 20 scores on either side."""

    version: str = Field(description="the header X-Policy-Version")
    scores: int = Field(description="how many are compared: the latest ones")
    mean: float
    histogram: list[int]
    psi: float | None = Field(description="population stability index; over 0.25 is a large shift")
    ks: float | None = Field(description="Kolmogorov-Smirnov distance")
    ks_p_value: float | None = Field(description="how likely such a distance is if nothing has changed")


class DriftOfModel(BaseModel):
    """One model. A score is the model's own default aggregate."""

    model: str
    revision: str
    aggregate: str
    reference_version: str | None = Field(description="the first version that came; null before any")
    reference_scores: int
    edges: list[float] = Field(description="of the histograms' bins; the first and the last bin are open")
    reference_histogram: list[int]
    versions: list[DriftOfVersion] = Field(description="at most 16, the latest last")


class DriftAnswer(BaseModel):
    """Every model that is served."""

    data: list[DriftOfModel]
