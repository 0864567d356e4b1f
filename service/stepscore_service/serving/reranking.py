"""/rerank: candidates sorted by score, and grouped by final answer where a vote is asked for."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from stepscore.aggregate import aggregate
from stepscore.errors import StepscoreError
from stepscore.scoring import ModelInfo
from stepscore.verify.answers import final_answer
from stepscore.verify.vote import Group, vote
from stepscore_service.batching.context import Terms
from stepscore_service.batching.protocols import Scored
from stepscore_service.errors import body_of
from stepscore_service.schemas.rerank import (
    AnswerGroup,
    Candidate,
    Document,
    FailedCandidate,
    Ranked,
    RerankAnswer,
    RerankRequest,
    Usage,
)
from stepscore_service.schemas.score import ErrorBody, ScoreItem
from stepscore_service.serving.model_pool import Served
from stepscore_service.serving.scoring import cut_all, outcomes, wanted


@dataclass(frozen=True, slots=True)
class Entry:
    """A scored candidate. index: its place among those given."""

    index: int
    text: str
    score: float
    rewards: tuple[float, ...]
    tokens: int


async def rerank(served: Served, request: RerankRequest, terms: Terms) -> RerankAnswer:
    """Score, sort and group the candidates.

    Raises what the batcher raises and, unless the request omits them, the error of the first candidate that cannot be
    scored (detail: index).
    """
    name = wanted(served.info, request.aggregate, None, ()).aggregate
    cuts = await cut_all(served, [_item(request, each) for each in request.candidates])
    found = await outcomes(served, cuts, terms)
    if request.on_error == "fail":
        _raise_first(found)
    texts = [_text(candidate) for candidate in request.candidates]
    entries = [_entry(served.info, name, i, texts[i], out) for i, out in enumerate(found) if isinstance(out, Scored)]
    failed = [
        FailedCandidate(index=index, error=ErrorBody(**body_of(outcome)))
        for index, outcome in enumerate(found)
        if isinstance(outcome, StepscoreError)
    ]
    groups = await _groups(served.info, request, name, entries)
    return _answer(served.info, name, request, entries, groups, failed)


def _item(request: RerankRequest, candidate: Candidate) -> ScoreItem:
    if isinstance(candidate, list):
        return ScoreItem(problem=request.problem, steps=candidate)
    return ScoreItem(problem=request.problem, solution=_text(candidate), split=request.split)


def _text(candidate: Candidate) -> str:
    match candidate:
        case str():
            return candidate
        case Document():
            return candidate.text
    return "\n".join(candidate)


def _raise_first(found: Sequence[object]) -> None:
    for index, outcome in enumerate(found):
        if isinstance(outcome, StepscoreError):
            outcome.detail = {"index": index, **outcome.detail}
            outcome.message = f"candidate {index}: {outcome.message}"
            raise outcome


def _entry(info: ModelInfo, name: str, index: int, text: str, scored: Scored) -> Entry:
    rewards = scored.reading.rewards
    return Entry(index, text, aggregate(rewards, name, info.reward_range), rewards, scored.encoded.tokens)


async def _groups(info: ModelInfo, request: RerankRequest, name: str, entries: Sequence[Entry]) -> list[Group]:
    """Final answers are compared on another thread: algebra takes its time."""
    if request.vote == "none" or not entries:
        return []
    probabilities = info.reward_range.kind == "probability" and name != "sum"
    return await asyncio.to_thread(
        lambda: vote(
            [entry.score for entry in entries],
            [final_answer(entry.text) for entry in entries],
            request.vote,
            probabilities,
        )
    )


def _answer(
    info: ModelInfo,
    name: str,
    request: RerankRequest,
    entries: Sequence[Entry],
    groups: Sequence[Group],
    failed: Sequence[FailedCandidate],
) -> RerankAnswer:
    tokens = sum(entry.tokens for entry in entries)
    ordered = sorted(entries, key=lambda entry: -entry.score)[: request.top_n or None]
    optional = {"groups": [_group(group, entries) for group in groups]} if request.vote != "none" else {}
    return RerankAnswer(
        id=f"rerank-{uuid.uuid4().hex}",
        model=info.id,
        revision=info.revision,
        aggregate=name,
        results=[_ranked(entry, request.return_documents) for entry in ordered],
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        **optional,
        **({"errors": failed} if failed else {}),
    )


def _ranked(entry: Entry, with_document: bool) -> Ranked:
    document = {"document": Document(text=entry.text)} if with_document else {}
    return Ranked(
        index=entry.index,
        score=entry.score,
        relevance_score=entry.score,
        rewards=list(entry.rewards),
        **document,
    )


def _group(group: Group, entries: Sequence[Entry]) -> AnswerGroup:
    members = [entries[member].index for member in group.members]
    return AnswerGroup(answer=group.answer, weight=group.weight, score=group.score, best=members[0], members=members)
