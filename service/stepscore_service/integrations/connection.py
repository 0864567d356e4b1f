"""Which service the functions of this package ask: from the environment, as trainers call them without options of ours.

PRM_URL          http://127.0.0.1:8000
PRM_API_KEY      sent as a bearer token
PRM_MODEL        which model; the first one served by default
PRM_AGGREGATE    how step rewards become the score
PRM_ON_ERROR     what a solution becomes whose text cannot be scored (an empty one): raise, lowest (the family's lowest
                 reward), or skip if the trainer has a place for it; every other failure is raised all the same
PRM_SHAPE        what a sample's number is the sum of (last, delta, min_form, progress, step), and what step ends get
PRM_REFERENCE    for progress: a number or group
PRM_BLEND        JSON: how the outcome is blended in, for example {"gate": 0, "unreadable": "wrong"}
PRM_TIMEOUT      seconds for one call with all its retries; 300 by default
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, cast

from stepscore_service.client import ServiceError, StepscoreClient
from stepscore_service.client.errors import error_of_item
from stepscore_service.schemas.chat import messages_of, on_own_lines, problem_of, problem_of_messages, response_of
from stepscore_service.schemas.score import FailedItem, ScoreAnswer

OnError = Literal["raise", "lowest", "skip"]


def client() -> StepscoreClient:
    """One for this process and this environment; it connects anew after a fork."""
    seconds = float(os.environ.get("PRM_TIMEOUT", "300"))
    return _client(os.environ.get("PRM_URL", "http://127.0.0.1:8000"), os.environ.get("PRM_API_KEY", ""), seconds)


@cache
def _client(url: str, key: str, timeout: float) -> StepscoreClient:
    return StepscoreClient(url, api_key=key, timeout=timeout)


def options() -> dict[str, str]:
    """Of every call of `score` and of every view."""
    given = {name: os.environ.get(f"PRM_{name.upper()}", "") for name in ("model", "aggregate")}
    return {name: value for name, value in given.items() if value}


def on_error(default: OnError, allowed: Sequence[OnError]) -> OnError:
    """Raises ValueError for a value that this trainer has no place for."""
    chosen = os.environ.get("PRM_ON_ERROR", default)
    if chosen not in allowed:
        raise ValueError(f"PRM_ON_ERROR is {chosen!r}; here it may be {', '.join(allowed)}")
    return cast("OnError", chosen)


def number_of(result: ScoreAnswer | FailedItem, chosen: OnError) -> float | None:
    """The score. Raises ServiceError for `raise` and, whatever was chosen, if more than one text is at fault."""
    if isinstance(result, ScoreAnswer):
        return result.score
    return number_of_failure(result, chosen, lowest_reward)


def number_of_failure(failed: FailedItem, chosen: OnError, lowest: Callable[[ServiceError], float]) -> float | None:
    """lowest: what such a sample gets, or raises the error. Raises as `number_of`."""
    error = error_of_item(failed)
    if chosen == "raise" or not error.of_text:
        raise error
    return lowest(error) if chosen == "lowest" else None


def lowest_reward(error: ServiceError) -> float:
    """The lowest reward of the model. Raises the error if its rewards have no lower bound."""
    cards, wanted = client().models(), options().get("model")
    card = next(card for card in cards if wanted in (None, card.id))
    if card.reward_range.low is None:
        raise error
    return card.reward_range.low


def item(prompt: Any, completion: Any) -> dict[str, str]:
    """One item of /score: texts, templated or not, or messages as trainers have them.

    Raises InvalidChat for what is neither, and for a text in a chat template that is not known.
    """
    problem = problem_of(prompt) if isinstance(prompt, str) else problem_of_messages(messages_of(prompt))
    return {"problem": problem, "solution": solution_text(completion)}


def solution_text(completion: Any) -> str:
    """What the policy wrote, as the service's own views score it. Raises InvalidChat for neither text nor messages."""
    if isinstance(completion, str):
        return on_own_lines(response_of(completion))
    return on_own_lines("\n\n".join(each.content for each in messages_of(completion) if each.role == "assistant"))


def problem_in(extra_info: Mapping[str, Any]) -> str:
    """The problem among a sample's further columns. Raises KeyError if there is none."""
    for name in ("question", "problem", "prompt"):
        if extra_info.get(name):
            return item(extra_info[name], "")["problem"]
    raise KeyError("extra_info has neither `question` nor `problem` nor `prompt`: add the problem to your data set")
