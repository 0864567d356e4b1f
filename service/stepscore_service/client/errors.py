"""What the client raises: the service's own errors, with their code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from stepscore_service.errors import is_of_text, status_of_code
from stepscore_service.schemas.score import FailedItem

HTTP_ERROR = "http_error"
"""The code of an answer that is not the service's own: a proxy's page, say."""


class ServiceError(Exception):
    """An error that the service answered. status: the HTTP status; the rest is as in the body."""

    def __init__(self, status: int, code: str, message: str, detail: Mapping[str, Any]) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.detail = dict(detail)

    @property
    def of_text(self) -> bool:
        """Whether only the text of one solution is at fault."""
        return is_of_text(self.code)


def error_of(response: httpx.Response) -> ServiceError:
    """An answer that is not the service's own keeps its status and text."""
    try:
        body = response.json()
        return ServiceError(response.status_code, body["code"], body["message"], body["detail"])
    except (ValueError, KeyError, TypeError):
        return ServiceError(response.status_code, HTTP_ERROR, response.text[:500], {})


def error_of_item(failed: FailedItem) -> ServiceError:
    """The error of one item, with the status that it has as an answer of its own."""
    error = failed.error
    return ServiceError(status_of_code(error.code), error.code, error.message, error.detail)
