"""The client for asyncio. The one for threads calls this one."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel

from stepscore_service.client.address import check_url
from stepscore_service.client.batches import BATCHES_AT_ONCE, ITEMS_AT_ONCE, CallBatches
from stepscore_service.client.errors import error_of
from stepscore_service.client.follow import AsyncFollower, RolloutState
from stepscore_service.client.retries import send_with_retries
from stepscore_service.schemas.reload import ReloadAnswer
from stepscore_service.schemas.rerank import RerankAnswer
from stepscore_service.schemas.reward import RewardAnswers
from stepscore_service.schemas.score import (
    FailedItem,
    ModelCard,
    ModelList,
    ScoreAnswer,
    ScoreAnswers,
    ShapeName,
)
from stepscore_service.schemas.unicode import find_surrogate

AnswerT = TypeVar("AnswerT", bound=BaseModel)
Progress = Callable[[int, int], None]
"""Called with the items that have their answer, and all items."""
CONNECTIONS = 64


class AsyncStepscoreClient:
    """Calls one service; use it as an async context manager, or close it. For one event loop.

    timeout: seconds for one call with all its retries; the service gets what is left of them, and computes nothing for
    an answer that would be late. api_key: sent as a bearer token. cache_salt: computed prefixes are reused only among
    calls of the same one. priority: bulk work is computed when nothing interactive waits.

    Calls are sent again while the service is busy or away (`client.retries`). Calls of `score` that run at the same
    time travel in one request. Every method raises ServiceError, httpx.TransportError if no answer came, TypeError for
    one text in place of a list, and ValueError, before anything is sent, for what JSON cannot hold (a lone surrogate,
    NaN). No failure becomes a number. Raises ValueError for an address that is not `http://HOST` or `https://HOST`.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        timeout: float = 300.0,
        api_key: str = "",
        cache_salt: str = "",
        priority: Literal["interactive", "bulk"] = "interactive",
    ) -> None:
        given = {"X-Tenant": cache_salt, "Authorization": api_key and f"Bearer {api_key}"}
        headers = {"X-Priority": priority, **{name: value for name, value in given.items() if value}}
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._http = httpx.AsyncClient(base_url=check_url(base_url), timeout=timeout, headers=headers, limits=limits)
        self._timeout = timeout
        self._batches = CallBatches(self._send_items)

    async def score(
        self, problem: str, steps: Sequence[str] | None = None, *, solution: str | None = None, **options: Any
    ) -> ScoreAnswer:
        """One solution, as a list of steps or as one text. Options: those of /score (split, aggregate, include, …)."""
        if (steps is None) == (solution is None):
            raise TypeError("give either `steps`, a list of texts, or `solution`, one text")
        given: dict[str, Any] = {"solution": solution} if steps is None else {"steps": _texts("steps", steps)}
        own: dict[str, Any] = {name: options.pop(name) for name in ("split", "from_step", "partial") if name in options}
        item = given | own | {"problem": problem}
        encode(item)
        return await self._batches.score(item, options)

    async def score_items(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        progress: Progress | None = None,
        policy_version: str = "",
        **options: Any,
    ) -> ScoreAnswers:
        """Many solutions, in requests of 64; each result is an answer or a FailedItem, in order.

        policy_version: for GET /v1/drift.

        If weights were exchanged between two requests, `revision` lists both; each answer names its own.
        """
        if isinstance(items, Mapping):
            raise TypeError("`items` is a list of solutions; for one solution call `score`")
        checked = [_check_item(item) for item in items]
        encode({"items": checked})
        parts = [checked[start : start + ITEMS_AT_ONCE] for start in range(0, len(checked), ITEMS_AT_ONCE)] or [[]]
        return _join(await self._send_parts(parts, options, progress, policy_version))

    async def rerank(self, problem: str, candidates: Sequence[str | Sequence[str]], **options: Any) -> RerankAnswer:
        """Candidates, best first; options are those of /rerank (top_n, vote, aggregate, ...)."""
        given = _candidates(candidates)
        return await self.post("/rerank", {"problem": problem, "candidates": given, **options}, RerankAnswer)

    async def reward(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        shape: ShapeName = "last",
        reference: float | Literal["group"] | None = None,
        blend: Mapping[str, Any] | None = None,
        policy_version: str = "",
        **options: Any,
    ) -> RewardAnswers:
        """What a trainer learns from; each result is an answer or a FailedItem, in order. All items go in one request.

        items: as of `score_items`, with `answer` and `offsets` or `token_ids`. policy_version: for GET /v1/drift.
        Options: those of /reward (tokenizer, temperature, aggregate, model).
        """
        if isinstance(items, Mapping):
            raise TypeError("`items` is a list of rollouts; put one into a list")
        body: dict[str, Any] = {"items": [_check_item(item) for item in items], "shape": shape, **options}
        given = {"reference": reference, "blend": blend}
        body |= {name: value for name, value in given.items() if value is not None}
        return await self.post("/reward", body, RewardAnswers, policy_version=policy_version)

    async def models(self) -> list[ModelCard]:
        """Asked once: a wrong address is reported at once."""
        return _answer(await self._http.get("/v1/models"), ModelList).data

    async def reload(self, model: str, path: str | None = None, *, token: str = "") -> ReloadAnswer:
        """Exchange a model's weights for those at `path`, as the server sees it; None reloads the previous path.

        token: the service's admin token, if it has one. Sent once.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = {} if path is None else {"path": path}
        return _answer(await self._http.post(f"/v1/models/{model}/reload", json=body, headers=headers), ReloadAnswer)

    async def ready(self) -> bool:
        return (await self._http.get("/health/ready")).is_success

    def follow(
        self, problem: str, *, split: str = "auto", stop_below: float | None = None, **options: Any
    ) -> AsyncFollower:
        """Rewards for the steps of a text that still grows (`client.follow`)."""
        return AsyncFollower(self.score, RolloutState(problem, split, stop_below, options))

    async def post(
        self, path: str, body: Mapping[str, Any], answer: type[AnswerT], *, policy_version: str = ""
    ) -> AnswerT:
        """Any route, with retries."""
        version = {"X-Policy-Version": policy_version} if policy_version else {}

        async def attempt(left: float) -> httpx.Response:
            headers = {"X-Request-Timeout-Ms": str(max(1, round(left * 1000))), "Content-Type": "application/json"}
            headers |= version | session
            return await self._http.post(path, content=content, headers=headers, timeout=left)

        content = encode(body)
        session = session_headers(body)
        return _answer(await send_with_retries(attempt, self._timeout), answer)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send_items(
        self, items: list[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> list[ScoreAnswer | FailedItem]:
        if len(items) > 1:
            return (await self.post("/score", {"items": items, **options}, ScoreAnswers)).results
        return [await self.post("/score", {**items[0], **options}, ScoreAnswer)]

    async def _send_parts(
        self,
        parts: Sequence[list[dict[str, Any]]],
        options: Mapping[str, Any],
        progress: Progress | None,
        policy_version: str,
    ) -> list[ScoreAnswers]:
        """Some at a time; the first error ends all."""
        slots, total, done = asyncio.Semaphore(BATCHES_AT_ONCE), sum(map(len, parts)), 0

        async def send(part: list[dict[str, Any]]) -> ScoreAnswers:
            nonlocal done
            async with slots:
                body = {"items": part, **options}
                answers = await self.post("/score", body, ScoreAnswers, policy_version=policy_version)
            done += len(part)
            if progress is not None:
                progress(done, total)
            return answers

        tasks = [asyncio.ensure_future(send(part)) for part in parts]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()


def encode(body: Mapping[str, Any]) -> bytes:
    """The body as JSON.

    Raises ValueError for NaN, infinity and a lone surrogate (the message says where), TypeError for what is not JSON.
    """
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError as error:
        where = find_surrogate(body)
        raise ValueError(f"{where} holds a lone surrogate, which is not text; replace it before you send it") from error


def session_headers(body: Mapping[str, Any]) -> dict[str, str]:
    """`X-Session-Id`, a digest of the problem, if the whole request is about one.

    A proxy before several servers that hashes it sends a problem to one server, whose prefix cache then serves it.
    """
    problems = {
        str(item.get("problem") or "") if isinstance(item, Mapping) else "" for item in body.get("items", [body])
    }
    if len(problems) != 1 or "" in problems:
        return {}
    return {"X-Session-Id": hashlib.blake2s(problems.pop().encode(), digest_size=8).hexdigest()}


def _join(parts: Sequence[ScoreAnswers]) -> ScoreAnswers:
    """Results count through all parts."""
    results = [result for part in parts for result in part.results]
    numbered = [result.model_copy(update={"index": index}) for index, result in enumerate(results)]
    revision = ",".join(dict.fromkeys(part.revision for part in parts))
    return parts[0].model_copy(update={"results": numbered, "revision": revision})


def _texts(name: str, given: Iterable[Any]) -> list[str]:
    """A list of texts. Raises TypeError for one text, whose characters would be sent, and for entries that are none."""
    texts = _as_list(name, given)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"`{name}[{index}]` is a text, not a {type(text).__name__}")
    return texts


def _candidates(given: Iterable[Any]) -> list[str | list[str]]:
    """Each is a text, or a list of steps."""
    each = enumerate(_as_list("candidates", given))
    return [one if isinstance(one, str) else _texts(f"candidates[{index}]", one) for index, one in each]


def _as_list(name: str, given: Iterable[Any]) -> list[Any]:
    """What has no order of its own, or is one text, is refused. Raises TypeError."""
    if isinstance(given, str | bytes | bytearray | memoryview | Mapping | Set) or not isinstance(given, Iterable):
        raise TypeError(f"`{name}` is a list of texts, not one {type(given).__name__}")
    return list(given)


def _check_item(item: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise TypeError(f"an item is an object with `problem` and `steps` or `solution`, not a {type(item).__name__}")
    steps = {"steps": _texts("steps", item["steps"])} if item.get("steps") is not None else {}
    return {**item, **steps}


def _answer(response: httpx.Response, answer: type[AnswerT]) -> AnswerT:
    if response.is_success:
        return answer.model_validate_json(response.content)
    raise error_of(response)
