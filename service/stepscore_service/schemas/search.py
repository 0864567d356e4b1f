"""/search: a problem in, events of a search out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, FiniteFloat

from stepscore_service.schemas.score import Wire


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("the problem is empty; send the text that is to be solved")
    return text


class SearchRequest(Wire):
    """One problem and how to search."""

    problem: Annotated[str, AfterValidator(_not_blank)] = Field(min_length=1, description="the problem to solve")
    method: str = Field("beam", description="greedy, majority, best_of_n, weighted, adaptive, beam, dvts, rebase, …")
    options: dict[str, int | FiniteFloat | bool | str] = Field(
        default_factory=dict, description="options of the method, for example n and width"
    )
    model: str | None = Field(None, description="which model gives step rewards; the first one served by default")
    aggregate: str = Field("", description="of step rewards, for the final choice; the model's own by default")
    choice: Literal["", "first", "score", "weighted", "majority"] = Field(
        "", description="how the winner is chosen; the method's own by default"
    )
    budget_tokens: int = Field(0, ge=0, description="tokens that the policy may sample; 0 sets no limit")
    budget_seconds: FiniteFloat = Field(
        0, ge=0, description="seconds after which the search ends with what is finished"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="the same seed gives the same search")


class SearchStep(BaseModel):
    """`event: nodes`: what the policy wrote or the PRM rated. Nodes are named by `id`; the root is 0."""

    nodes: list[dict[str, Any]]


class SearchOutcome(BaseModel):
    """`event: result`: the end of a search. A search that found nothing has no solution and says why it stopped."""

    answer: str | None
    solution: str | None
    score: float | None
    chosen: int | None = Field(description="id of the chosen node")
    candidates: list[dict[str, Any]]
    stopped: str
    reason: str = Field(description="why there is no solution; empty if there is one")
    policy_tokens: int
    rounds: int
    rated: int
    model: str
    revision: str
    dtype: str
