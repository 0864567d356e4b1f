"""A vLLM server somewhere else, reached over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from stepscore.errors import EngineError, UnsupportedByEngine
from stepscore.heads import Head, VocabularyHead
from stepscore.types import Values

Ids = tuple[int, ...]

TIMEOUT = httpx.Timeout(600.0, connect=10.0)


class VllmServer:
    """A server started with `--runner pooling` and a pooler of type ALL, or STEP with the family's marker.

    Raises EngineError where it does not answer, or answers with an error.
    """

    def __init__(self, address: str, head: Head) -> None:
        if isinstance(head, VocabularyHead):
            raise UnsupportedByEngine("vocabulary pairs are read by vLLM in process, not by a server", engine="vllm")
        self._http = httpx.Client(base_url=address.rstrip("/"), timeout=TIMEOUT)
        self._model = self._get("/v1/models")["data"][0]

    @property
    def max_tokens(self) -> int:
        return int(self._model["max_model_len"])

    @property
    def dtype(self) -> str:
        return "the server's own"

    def pool(self, sequences: Sequence[Ids]) -> list[Values]:
        body = {
            "model": self._model["id"],
            "input": [list(ids) for ids in sequences],
            "task": "token_classify",
            "use_activation": False,
            "encoding_format": "float",
        }
        answers = sorted(self._post("/pooling", body)["data"], key=lambda answer: int(answer["index"]))
        return [np.asarray(answer["data"], dtype=np.float32) for answer in answers]

    def next_token(self, prefixes: Sequence[Ids], candidates: Ids) -> list[Values]:
        raise UnsupportedByEngine("vocabulary pairs are read by vLLM in process, not by a server", engine="vllm")

    def close(self) -> None:
        self._http.close()

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
        return response.json()
