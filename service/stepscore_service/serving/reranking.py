"""Candidates sorted by score, and grouped by final answer if a vote is wanted: one ranking for HTTP and for files."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepscore.errors import NoProblem, StepscoreError
from stepscore.text.segment import check_split
from stepscore.types import SolutionRequest
from stepscore.verify.answers import read_answer
from stepscore.verify.vote import Group, vote
from stepscore_service.batching.protocols import RequestContext
from stepscore_service.errors import body_of
from stepscore_service.schemas.rerank import (
    AnswerGroup,
    Document,
    FailedCandidate,
    RankedCandidate,
    RerankAnswer,
    RerankCandidate,
    RerankRequest,
    Usage,
)
from stepscore_service.schemas.score import ErrorBody, ScoreAnswer
from stepscore_service.serving.scoring import ScoreResult, resolve_options, score

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo
    from stepscore_service.serving.model_pool import ServedModel

RankableAnswers = Sequence[tuple[int, ScoreAnswer]]
"""The answers of the candidates that could be scored, each with its place among all candidates."""


async def rerank(served: ServedModel, request: RerankRequest, context: RequestContext) -> RerankAnswer:
    """Score and rank the candidates.

    Raises what `score` raises, UnknownSplit and, unless the request omits them, the error of the first candidate that
    cannot be scored (detail: index).
    """
    check_split(request.split)
    options = resolve_options(served.info, request.aggregate)
    results = await score(served, solutions_of(request), context, options)
    # Another thread, because comparing final answers takes algebra.
    return await asyncio.to_thread(rank, served.info, request, options.aggregate, results)


def solutions_of(request: RerankRequest) -> list[SolutionRequest]:
    """The candidates as solutions to score."""
    return [
        SolutionRequest(request.problem, tuple(each) if isinstance(each, list) else _text(each), request.split)
        for each in request.candidates
    ]


def rank(info: ModelInfo, request: RerankRequest, aggregate: str, results: Sequence[ScoreResult]) -> RerankAnswer:
    """The ranking of a request's candidates, given their results in order; ties keep the order of the candidates.

    Raises the error of the first candidate that cannot be scored (detail: index), unless the request omits them, and
    NoProblem, which is not the fault of a candidate.
    """
    for result in results:
        if isinstance(result, NoProblem):
            raise result
    if request.on_error == "fail":
        _raise_first(results)
    scored = [(index, result) for index, result in enumerate(results) if isinstance(result, ScoreAnswer)]
    ordered = sorted(scored, key=lambda each: -each[1].score)[: request.top_n or None]
    tokens = sum(answer.token_count for _, answer in scored)
    return RerankAnswer(
        id=f"rerank-{uuid.uuid4().hex}",
        model=info.id,
        revision=info.revision,
        dtype=info.dtype,
        aggregate=aggregate,
        results=[_rank_one(request, index, answer) for index, answer in ordered],
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        **_optional(info, request, aggregate, scored, results),
    )


def _optional(
    info: ModelInfo, request: RerankRequest, aggregate: str, scored: RankableAnswers, results: Sequence[ScoreResult]
) -> dict[str, Any]:
    """The fields that only some answers have."""
    fields = dict[str, Any]()
    if request.vote != "none":
        fields["groups"] = _groups(info, request, aggregate, scored)
    failed = [(index, result) for index, result in enumerate(results) if isinstance(result, StepscoreError)]
    if failed:
        fields["errors"] = [FailedCandidate(index=i, error=ErrorBody(**body_of(error))) for i, error in failed]
    return fields


def _groups(info: ModelInfo, request: RerankRequest, aggregate: str, scored: RankableAnswers) -> list[AnswerGroup]:
    if not scored:
        return []
    scores = [answer.score for _, answer in scored]
    finals = [read_answer(_text(request.candidates[index])) for index, _ in scored]
    probabilities = info.reward_range.kind == "probability" and aggregate != "sum"
    return [_group(each, scored) for each in vote(scores, finals, request.vote, probabilities)]


def _group(group: Group, scored: RankableAnswers) -> AnswerGroup:
    members = [scored[member][0] for member in group.members]
    undecided = [scored[member][0] for member in group.undecided]
    return AnswerGroup(
        answer=group.answer,
        reader=group.reader,
        weight=group.weight,
        score=group.score,
        best=members[0],
        members=members,
        **({"undecided": undecided} if undecided else {}),
    )


def _rank_one(request: RerankRequest, index: int, answer: ScoreAnswer) -> RankedCandidate:
    document = {"document": Document(text=_text(request.candidates[index]))} if request.return_documents else {}
    return RankedCandidate(
        index=index, score=answer.score, relevance_score=answer.score, rewards=answer.rewards, **document
    )


def _raise_first(results: Sequence[ScoreResult]) -> None:
    for index, result in enumerate(results):
        if isinstance(result, StepscoreError):
            result.detail = {"index": index, **result.detail}
            result.message = f"candidate {index}: {result.message}"
            raise result


def _text(candidate: RerankCandidate) -> str:
    match candidate:
        case str():
            return candidate
        case Document():
            return candidate.text
    return "\n".join(candidate)
