"""The client for threads: the one for asyncio, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from stepscore_service.client.address import check_url
from stepscore_service.client.asynchronous import AnswerT, AsyncStepscoreClient, Progress
from stepscore_service.client.follow import Follower, RolloutState
from stepscore_service.schemas.reload import ReloadAnswer
from stepscore_service.schemas.rerank import RerankAnswer
from stepscore_service.schemas.reward import RewardAnswers
from stepscore_service.schemas.score import ModelCard, ScoreAnswer, ScoreAnswers, ShapeName

T = TypeVar("T")
ClientCall = Callable[[AsyncStepscoreClient], Coroutine[Any, Any, T]]


class ClientThread:
    """An AsyncStepscoreClient on an event loop of its own. pid: the process in which its thread runs."""

    def __init__(self, base_url: str, options: Mapping[str, Any]) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stepscore-client", daemon=True)
        self._thread.start()
        self._client = AsyncStepscoreClient(base_url, **options)

    def run(self, call: ClientCall[T]) -> T:
        """The call's result. An interrupt of the waiting thread cancels the call."""
        future = self.submit(call)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def submit(self, call: ClientCall[T]) -> Future[T]:
        """The call's result, later; cancelling it cancels the call."""
        return asyncio.run_coroutine_threadsafe(call(self._client), self._loop)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class StepscoreClient:
    """Calls one service; use it as a context manager, or close it. Any number of threads may share it.

    Parameters, retries, batches and errors are those of AsyncStepscoreClient. In a forked process it connects anew.
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
        self._base_url = check_url(base_url)
        self._options: dict[str, Any] = {
            "timeout": timeout,
            "api_key": api_key,
            "cache_salt": cache_salt,
            "priority": priority,
        }
        self._lock = threading.Lock()
        self._runner: ClientThread | None = None

    def score(
        self, problem: str, steps: Sequence[str] | None = None, *, solution: str | None = None, **options: Any
    ) -> ScoreAnswer:
        """One solution, as a list of steps or as one text. Options: those of /score (split, aggregate, include, …)."""
        return self._run(lambda client: client.score(problem, steps, solution=solution, **options))

    def score_items(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        progress: Progress | None = None,
        policy_version: str = "",
        **options: Any,
    ) -> ScoreAnswers:
        """Many solutions; each result is an answer or a FailedItem, in order. progress: called in another thread."""
        return self._run(
            lambda client: client.score_items(items, progress=progress, policy_version=policy_version, **options)
        )

    def rerank(self, problem: str, candidates: Sequence[str | Sequence[str]], **options: Any) -> RerankAnswer:
        """Candidates, best first; options are those of /rerank (top_n, vote, aggregate, ...)."""
        return self._run(lambda client: client.rerank(problem, candidates, **options))

    def reward(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        shape: ShapeName = "last",
        reference: float | Literal["group"] | None = None,
        blend: Mapping[str, Any] | None = None,
        policy_version: str = "",
        **options: Any,
    ) -> RewardAnswers:
        """What a trainer learns from; each result is an answer or a FailedItem, in order. See AsyncStepscoreClient."""
        given: dict[str, Any] = {"shape": shape, "reference": reference, "blend": blend}
        return self._run(lambda client: client.reward(items, policy_version=policy_version, **given, **options))

    def models(self) -> list[ModelCard]:
        return self._run(lambda client: client.models())

    def reload(self, model: str, path: str | None = None, *, token: str = "") -> ReloadAnswer:
        """Exchange a model's weights for those at `path`, as the server sees it; None reloads the previous path.

        token: the service's admin token, if it has one.
        """
        return self._run(lambda client: client.reload(model, path, token=token))

    def ready(self) -> bool:
        return self._run(lambda client: client.ready())

    def follow(self, problem: str, *, split: str = "auto", stop_below: float | None = None, **options: Any) -> Follower:
        """Rewards for the steps of a text that still grows (`client.follow`)."""
        return Follower(self.score, RolloutState(problem, split, stop_below, options))

    def post(self, path: str, body: Mapping[str, Any], answer: type[AnswerT]) -> AnswerT:
        """Any route, with retries."""
        return self._run(lambda client: client.post(path, body, answer))

    def close(self) -> None:
        with self._lock:
            runner, self._runner = self._runner, None
        if runner is not None and runner.pid == os.getpid():
            runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, call: ClientCall[T]) -> Future[T]:
        """The result, later, of a call of the client for asyncio that runs in the thread."""
        return self._thread().submit(call)

    def _run(self, call: ClientCall[T]) -> T:
        return self._thread().run(call)

    def _thread(self) -> ClientThread:
        with self._lock:
            if self._runner is None or self._runner.pid != os.getpid():
                self._runner = ClientThread(self._base_url, self._options)
            return self._runner
