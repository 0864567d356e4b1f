"""A small client: typed answers, and the service's errors as exceptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from stepscore_service.schemas.reload import ReloadAnswer
from stepscore_service.schemas.rerank import RerankAnswer
from stepscore_service.schemas.score import ModelCard, ModelList, ScoreAnswer, ScoreAnswers

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class ServiceError(Exception):
    """An error that the service answered. status: the HTTP status; the rest is as in the body."""

    def __init__(self, status: int, code: str, message: str, detail: Mapping[str, Any]) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.detail = dict(detail)


class StepscoreClient:
    """Calls one service; use it as a context manager, or close it.

    timeout: seconds for one answer; the service gets it too, and computes nothing for an answer that would be late.
    Every method raises ServiceError, httpx.TransportError if no answer came, and TypeError for one text in place of a
    list.
    """

    def __init__(self, base_url: str = "http://127.0.0.1:8000", *, timeout: float = 300.0) -> None:
        headers = {"X-Request-Timeout-Ms": str(max(1, round(timeout * 1000)))}
        self._http = httpx.Client(base_url=base_url, timeout=timeout, headers=headers)

    def score(
        self, problem: str, steps: Sequence[str] | None = None, *, solution: str | None = None, **options: Any
    ) -> ScoreAnswer:
        """One solution, as a list of steps or as one text. Options: those of /score (split, aggregate, include, …)."""
        if (steps is None) == (solution is None):
            raise TypeError("give either `steps`, a list of texts, or `solution`, one text")
        given = {"solution": solution} if steps is None else {"steps": _listed("steps", steps)}
        return self._post("/score", {"problem": problem, **given, **options}, ScoreAnswer)

    def score_items(self, items: Sequence[Mapping[str, Any]], **options: Any) -> ScoreAnswers:
        """Many solutions; each result is an answer or a FailedItem, in order."""
        if isinstance(items, Mapping):
            raise TypeError("`items` is a list of solutions; for one solution call `score`")
        return self._post("/score", {"items": [_checked_item(item) for item in items], **options}, ScoreAnswers)

    def rerank(self, problem: str, candidates: Sequence[str | Sequence[str]], **options: Any) -> RerankAnswer:
        """Candidates, best first; options are those of /rerank (top_n, vote, aggregate, ...)."""
        given = _listed("candidates", candidates)
        return self._post("/rerank", {"problem": problem, "candidates": given, **options}, RerankAnswer)

    def models(self) -> list[ModelCard]:
        return _answer(self._http.get("/v1/models"), ModelList).data

    def reload(self, model: str, path: str | None = None, *, token: str = "") -> ReloadAnswer:
        """Exchange a model's weights for those at `path`, as the server sees it; None reloads the previous path.

        token: the service's admin token, if it has one.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = {} if path is None else {"path": path}
        return _answer(self._http.post(f"/v1/models/{model}/reload", json=body, headers=headers), ReloadAnswer)

    def ready(self) -> bool:
        return self._http.get("/health/ready").is_success

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, path: str, body: Mapping[str, Any], answer: type[AnswerT]) -> AnswerT:
        return _answer(self._http.post(path, json=body), answer)


def _listed(name: str, given: Iterable[Any]) -> list[Any]:
    """A text is a sequence of characters, which would be sent as so many entries. Raises TypeError."""
    if isinstance(given, str | bytes | Mapping):
        raise TypeError(f"`{name}` is a list of texts, not one {type(given).__name__}")
    return list(given)


def _checked_item(item: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise TypeError(f"an item is an object with `problem` and `steps` or `solution`, not a {type(item).__name__}")
    steps = {"steps": _listed("steps", item["steps"])} if item.get("steps") is not None else {}
    return {**item, **steps}


def _answer(response: httpx.Response, answer: type[AnswerT]) -> AnswerT:
    if response.is_success:
        return answer.model_validate_json(response.content)
    raise _error(response)


def _error(response: httpx.Response) -> ServiceError:
    """An answer that is not the service's own (a proxy's page, say) keeps its status and text."""
    try:
        body = response.json()
        return ServiceError(response.status_code, body["code"], body["message"], body["detail"])
    except (ValueError, KeyError, TypeError):
        return ServiceError(response.status_code, "http_error", response.text[:500], {})
