"""A vLLM server somewhere else, reached over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from stepscore.errors import EngineError
from stepscore.types import Ids, Values

TIMEOUT = httpx.Timeout(600.0, connect=10.0)
PROMPTS = 256
"""Prompts of one completion request; vLLM takes up to VLLM_MAX_COMPLETION_PROMPTS, 1,024 unless told otherwise."""


class VllmServer:
    """A server that serves the same checkpoint; the head decides how it must have been started.

    Class heads: `--runner pooling` with a pooler of type ALL, or STEP with the family's marker. Vocabulary pairs and
    log-probabilities of own tokens: the generating runner, which is vLLM's default. JSON carries numbers exactly.
    Raises EngineError if it does not answer, or answers with an error.
    """

    def __init__(self, address: str) -> None:
        self._http = httpx.Client(base_url=address.rstrip("/"), timeout=TIMEOUT)
        try:
            model = self._get("/v1/models")["data"][0]
            self._model, self._max_tokens = str(model["id"]), int(model["max_model_len"])
        except (LookupError, TypeError, ValueError) as error:
            raise EngineError(
                f"what answers at {address} is not a vLLM server: its /v1/models names no model with a max_model_len"
            ) from error

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    @property
    def dtype(self) -> str:
        return "the server's own"

    def pool(self, sequences: Sequence[Ids]) -> list[Values]:
        body = {
            "model": self._model,
            "input": [list(ids) for ids in sequences],
            "task": "token_classify",
            "use_activation": False,
            "encoding_format": "float",
        }
        answers = sorted(self._post("/pooling", body)["data"], key=lambda answer: int(answer["index"]))
        return [np.asarray(answer["data"], dtype=np.float32) for answer in answers]

    def next_token(self, prefixes: Sequence[Ids], candidates: Ids) -> list[Values]:
        wanted = {
            "logprobs": len(candidates),
            "logprob_token_ids": list(candidates),
            "return_tokens_as_token_ids": True,
        }
        keys = [f"token_id:{token}" for token in candidates]
        choices = self._complete(prefixes, wanted)
        return [_numbers([choice["logprobs"]["top_logprobs"][0].get(key) for key in keys]) for choice in choices]

    def prompt_logprobs(self, sequences: Sequence[Ids]) -> list[Values]:
        choices = self._complete(sequences, {"prompt_logprobs": 0})
        return [_own(choice["prompt_logprobs"], ids) for choice, ids in zip(choices, sequences, strict=True)]

    def close(self) -> None:
        self._http.close()

    def _complete(self, prompts: Sequence[Ids], wanted: dict[str, Any]) -> list[Any]:
        """One answer for each prompt, in order."""
        body = {"model": self._model, "max_tokens": 1, "temperature": 0.0, **wanted}
        found: list[Any] = []
        for start in range(0, len(prompts), PROMPTS):
            part = [list(ids) for ids in prompts[start : start + PROMPTS]]
            choices = self._post("/v1/completions", body | {"prompt": part})["choices"]
            found += sorted(choices, key=lambda choice: int(choice["index"]))
        return found

    def _get(self, path: str) -> Any:
        return self._answer(self._http.build_request("GET", path))

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._answer(self._http.build_request("POST", path, json=body))

    def _answer(self, request: httpx.Request) -> Any:
        try:
            response = self._http.send(request)
        except httpx.HTTPError as error:
            raise EngineError(f"the vLLM server at {request.url} does not answer: {error}") from error
        if response.is_error:
            raise EngineError(f"the vLLM server answered {response.status_code}: {response.text[:500]}")
        try:
            return response.json()
        except ValueError as error:
            raise EngineError(f"what answers at {request.url} is not a vLLM server: {response.text[:80]!r}") from error


def _own(places: Sequence[Any], ids: Ids) -> Values:
    """The first token has no log-probability; every other place is keyed by token."""
    own = zip(places[1:], ids[1:], strict=True)
    return _numbers([(place or {}).get(str(token), {}).get("logprob") for place, token in own])


def _numbers(found: Sequence[float | None]) -> Values:
    """A server that is too old to know what was asked leaves numbers out."""
    if None in found:
        raise EngineError("the vLLM server left log-probabilities out; it is too old for this head")
    return np.array(found, dtype=np.float32)
