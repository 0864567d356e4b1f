"""Sampling over HTTP: the completions endpoint that OpenAI described and vLLM, SGLang and others serve.

Prompts go out as they are, text or token ids, so that a judge's ids are read as its family wrote them. The
log-probabilities of given continuations are read with `echo`, which returns those of the prompt's own tokens.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from stepscore.errors import GeneratorDead, GeneratorError, InvalidOption
from stepscore.generate.context import CONTEXT, is_context
from stepscore.generate.protocol import Completion, GeneratorInfo, Request, SampledToken, Sampling
from stepscore.generate.stopping import cut

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_ELSEWHERE = frozenset({401, 403, 404, 405})
"""Statuses that every request would get: a wrong address, model or key."""
_KEY = "If the server wants a key, set OPENAI_API_KEY."
ADDRESS = "The address must be that of a completions endpoint (…/v1), and #NAME a model that it serves."
CONNECT_SECONDS = 10.0
_HINTS = {401: _KEY, 403: _KEY}
_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout)


class OpenAIGenerator:
    """A model served at `{url}/completions`.

    timeout: seconds that one answer may take. retries: attempts after the first, for a connection that fails and for
    the statuses that ask for one; pause: seconds before the first of them, doubled each time.
    concurrency: requests under way at once.
    If nothing answers at the address, further requests get one attempt each until one of them succeeds.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        max_tokens: int,
        api_key: str = "",
        timeout: float = 600.0,
        retries: int = 4,
        pause: float = 0.5,
        concurrency: int = 16,
    ) -> None:
        """Raises InvalidOption for a URL that cannot be one."""
        self._model = model
        self._retries, self._pause = retries, pause
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(
            base_url=_check_address(url), headers=headers, timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS)
        )
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="generator")
        self._info = GeneratorInfo("openai", url, "", max_tokens)
        self._tokens = 0
        self._answered = self._away = False

    @property
    def info(self) -> GeneratorInfo:
        return self._info

    @property
    def tokens(self) -> int:
        return self._tokens

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        answers = list(self._threads.map(self._post, [self._body(request) for request in requests]))
        self._count(answers)
        return [_completions(answer, request.sampling) for answer, request in zip(answers, requests, strict=True)]

    def continuations(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        bodies = [self._echo(prompt + choice) for choice in choices]
        answers = list(self._threads.map(self._post, bodies))
        self._count(answers)
        return [
            _span(answer, len(prompt), len(prompt) + len(choice))
            for answer, choice in zip(answers, choices, strict=True)
        ]

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": request.prompt,
            "n": sampling.n,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "logprobs": max(1, sampling.top_logprobs),
        }
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        return body

    def _echo(self, ids: tuple[int, ...]) -> dict[str, Any]:
        """One token is sampled and thrown away, because not every server takes zero."""
        return {
            "model": self._model,
            "prompt": ids,
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": 1,
            "echo": True,
        }

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Raises GeneratorDead if no attempt could connect."""
        pause, reason, connected = self._pause, "", False
        attempts = 1 if self._away else self._retries + 1
        for attempt in range(attempts):
            if attempt:
                time.sleep(pause)
                pause *= 2
            try:
                response = self._client.post("/completions", json=body)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
                connected = connected or not isinstance(error, _NOT_CONNECTED)
                continue
            self._away, connected = False, True
            if response.status_code not in _RETRIED:
                return self._read(response)
            reason = f"status {response.status_code}"
        self._away = not connected
        kind = GeneratorError if connected else GeneratorDead
        counted = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        raise kind(f"{self._info.device} did not answer after {counted}: {reason}", reason=reason)

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        if response.is_error:
            raise self._refusal(response)
        try:
            answer = response.json()
        except ValueError as error:
            raise self._unreadable("answered no JSON", "not JSON") from error
        if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
            raise self._unreadable("answered without choices", "no choices")
        self._answered = True
        return answer

    def _refusal(self, response: httpx.Response) -> GeneratorError:
        """The error for a status of an error: of this prompt, or of every request."""
        status, text = response.status_code, response.text
        message = f"{self._info.device} refused a prompt ({status}): {text[:500]}"
        if status in _ELSEWHERE and not self._answered:
            message += f". {_HINTS.get(status, ADDRESS)}"
            return GeneratorDead(message, reason=f"status {status}")
        return GeneratorError(message, reason=CONTEXT if is_context(text) else f"status {status}")

    def _unreadable(self, what: str, reason: str) -> GeneratorError:
        """The error for an answer that is none: of the address, unless it has answered before."""
        message = f"{self._info.device} {what}"
        if self._answered:
            return GeneratorError(message, reason=reason)
        return GeneratorDead(f"{message}. {ADDRESS}", reason=reason)

    def _count(self, answers: Sequence[Mapping[str, Any]]) -> None:
        self._tokens += sum(map(_total_tokens, answers))


def _check_address(url: str) -> str:
    """Raises InvalidOption if it names no host or no port that there can be."""
    try:
        parsed = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL as error:
        raise InvalidOption(f"{url} is not an address: {error}", option="policy") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidOption(f"{url} is not an address; write http://HOST:PORT/v1", option="policy")
    return str(parsed)


def _total_tokens(answer: Mapping[str, Any]) -> int:
    """0 if the server does not count."""
    usage = answer.get("usage")
    count = usage.get("total_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else 0


def _completions(answer: Mapping[str, Any], sampling: Sampling) -> tuple[Completion, ...]:
    """Raises GeneratorError for another number of completions, and for one that has no text."""
    choices = answer["choices"]
    if len(choices) != sampling.n:
        raise GeneratorError(f"{len(choices)} completions came for {sampling.n} asked", reason="wrong count")
    if not all(isinstance(choice, dict) and isinstance(choice.get("text"), str) for choice in choices):
        raise GeneratorError(
            f"a completion came without text. {ADDRESS}",
            reason="no text",
        )
    try:
        ordered = sorted(choices, key=lambda choice: int(choice.get("index", 0)))
        return tuple(_completion(choice, sampling) for choice in ordered)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise GeneratorError(f"a completion cannot be read: {error!r}", reason="malformed") from error


def _completion(choice: Mapping[str, Any], sampling: Sampling) -> Completion:
    """Most servers leave the stop text out; the tokens (or the server) say which it was.

    A server that leaves it in, or samples on after it, is held to it here.
    """
    text, tokens = str(choice["text"]), _sampled_tokens(choice.get("logprobs"))
    ended, met = cut(text, sampling.stop, keep=sampling.keep_stop)
    if met is not None:
        return Completion(ended, "stop", tokens)
    if choice.get("finish_reason") == "length":
        return Completion(text, "length", tokens)
    stop = _find_stop(choice, text, tokens, sampling.stop)
    return Completion(text + stop if stop and sampling.keep_stop else text, "stop", tokens)


def _find_stop(
    choice: Mapping[str, Any], text: str, tokens: Sequence[SampledToken], stops: Sequence[str]
) -> str | None:
    for name in ("stop_reason", "matched_stop"):  # vLLM, SGLang
        named = choice.get(name)
        if isinstance(named, str) and named in stops:
            return named
    return cut("".join(token.text for token in tokens)[len(text) :], stops, keep=False)[1]


def _sampled_tokens(logprobs: Mapping[str, Any] | None) -> tuple[SampledToken, ...]:
    if not logprobs or not logprobs.get("tokens"):
        return ()
    tops = logprobs.get("top_logprobs") or [None] * len(logprobs["tokens"])
    return tuple(
        SampledToken(str(text), float(logprob), dict(top or {}))
        for text, logprob, top in zip(logprobs["tokens"], logprobs["token_logprobs"], tops, strict=True)
    )


def _span(answer: Mapping[str, Any], start: int, end: int) -> tuple[float, ...]:
    """The log-probabilities of the prompt's tokens from start to end."""
    choices = answer["choices"]
    logprobs = ((choices[0].get("logprobs") or {}) if choices else {}).get("token_logprobs") or []
    found = logprobs[start:end]
    if len(found) != end - start or any(number is None for number in found):
        raise GeneratorError("the server returned no log-probabilities of the prompt (echo)", reason="no echo")
    return tuple(float(number) for number in found)
