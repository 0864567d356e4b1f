"""Rewards from a model in this process or from a running service: the same protocol, the same numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import httpx

from stepscore.errors import EngineDead, EngineError, InvalidInput, StepscoreError, map_ok
from stepscore.types import Reading, Solution, SolutionRequest
from stepscore_service.client import ServiceError, StepscoreClient
from stepscore_service.client.address import check_url
from stepscore_service.errors import error_classes
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.model import scorer_from
from stepscore_service.schemas.score import FailedItem, ModelCard, ScoreAnswer
from stepscore_service.serving.scoring import read_offline
from stepscore_service.settings import Settings

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo, Scoring


@dataclass(frozen=True, slots=True)
class Scored:
    """tokens: what the model read for this solution."""

    reading: Reading
    tokens: int


ScoredOrError = Scored | StepscoreError


class Rewards(Protocol):
    """Gives rewards to solutions."""

    @property
    def info(self) -> ModelInfo: ...

    def score(self, solutions: Sequence[Solution]) -> list[ScoredOrError]:
        """One answer for each solution, in order. Raises EngineError if the whole call failed."""
        ...


class LocalRewards:
    """From a scorer in this process."""

    def __init__(self, scorer: Scoring) -> None:
        self.info = scorer.info
        self._scorer = scorer

    def score(self, solutions: Sequence[Solution]) -> list[ScoredOrError]:
        requests = [SolutionRequest(solution.problem, solution.steps) for solution in solutions]
        answers = read_offline(self._scorer, requests)
        return map_ok(answers, lambda read: [Scored(each.reading, each.encoded.tokens) for each in read])


class RemoteRewards:
    """From a running service. model: which of those it serves; the first by default. Raises EngineError without one."""

    def __init__(self, client: StepscoreClient, model: str = "") -> None:
        self._client = client
        try:
            cards = client.models()
        except (httpx.TransportError, ServiceError) as error:
            raise EngineError(f"no service answers at this address: {error}") from error
        names = [card.id for card in cards]
        if model and model not in names:
            raise InvalidInput(f"no model is called {model!r}; served: {', '.join(names)}", model=model)
        self.info = info_of(next(card for card in cards if not model or card.id == model))

    def score(self, solutions: Sequence[Solution]) -> list[ScoredOrError]:
        items = [{"problem": each.problem, "steps": list(each.steps)} for each in solutions]
        try:
            found = self._client.score_items(items, model=self.info.id, include=["logits"])
        except ServiceError as error:
            raise EngineError(f"the service answered {error.status}: {error}") from error
        except httpx.TransportError as error:
            raise EngineDead(f"the service went away: {error!r}") from error
        return [_answer(each) for each in found.results]


@contextmanager
def rewards_from(settings: Settings, url: str | None) -> Iterator[Rewards]:
    """The service at `url` (URL or URL#MODEL), or the settings' model; ends the command if neither can be used."""
    if url is None:
        with scorer_from(settings) as scorer:
            yield LocalRewards(scorer)
        return
    address, _, name = url.partition("#")
    try:
        check_url(address)
    except ValueError as error:
        console.fail(str(error))
    try:
        with StepscoreClient(address, priority="bulk") as client:
            yield RemoteRewards(client, name)
    except StepscoreError as error:
        console.fail_with(error, console.ENGINE_FAILED)


def info_of(card: ModelCard) -> ModelInfo:
    """What a service says about a model, as the library's own description."""
    from stepscore.scoring.protocol import ModelInfo  # takes seconds to import, and `--help` does not need it

    return ModelInfo.from_dict(card.model_dump())


def _answer(result: ScoreAnswer | FailedItem) -> ScoredOrError:
    if isinstance(result, FailedItem):
        return error_classes().get(result.error.code, EngineError)(result.error.message, **result.error.detail)
    logits = tuple(tuple(row) for row in result.logits)
    extras = {name: tuple(numbers) for name, numbers in result.extras.items()}
    return Scored(Reading(tuple(result.rewards), logits, extras, tuple(result.rationales)), result.token_count)
