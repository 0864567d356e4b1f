"""The error answers that the documentation shows for routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepscore_service.schemas.score import ErrorBody

_MEANINGS = {
    401: "not_authorised: a key is missing or unknown",
    403: "scope_missing: the key is not for this route",
    404: "no_policy: only /search",
    408: "request_timeout",
    413: "body_too_large, too_many_items, too_many_tokens",
    415: "unsupported_media_type",
    422: "invalid_request, invalid_json, invalid_utf8, invalid_chat, no_steps, empty_step, marker_in_text, "
    "invalid_text, too_long, too_many_characters, unknown_split, unknown_model, unknown_aggregate, "
    "undefined_aggregate, idempotency_mismatch",
    429: "quota_exceeded: this key's own quota; Retry-After says when to retry",
    431: "headers_too_large",
    500: "engine_failed, out_of_memory, unscorable, internal",
    503: "engine_dead, overloaded, draining, too_many_connections; Retry-After says when to retry",
    504: "deadline_exceeded",
}
_OF_RELOADS = {403: "scope_missing, reload_disabled, path_not_allowed", 409: "another_family"}


def _shown(meanings: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody, "description": meaning} for status, meaning in meanings.items()}


ERRORS = _shown(_MEANINGS)
RELOAD_ERRORS = ERRORS | _shown(_OF_RELOADS)
