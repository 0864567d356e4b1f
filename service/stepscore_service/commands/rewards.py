"""Rewards for the jobs: from a model of the settings, or from a running service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stepscore.errors import StepscoreError
from stepscore_service.commands.model import opened
from stepscore_service.jobs.runs import console
from stepscore_service.settings import Settings

if TYPE_CHECKING:
    from stepscore_service.jobs.rewards import Rewards


@contextmanager
def rewards_from(settings: Settings, url: str | None) -> Iterator[Rewards]:
    """The service at `url` (URL or URL#MODEL), or the settings' model; ends the command if neither can be used."""
    from stepscore_service.client import StepscoreClient
    from stepscore_service.client.address import checked_url
    from stepscore_service.jobs.rewards import LocalRewards, RemoteRewards

    if url is None:
        with opened(settings) as scorer:
            yield LocalRewards(scorer)
        return
    address, _, name = url.partition("#")
    try:
        checked_url(address)
    except ValueError as error:
        console.fail(str(error))
    try:
        with StepscoreClient(address, priority="bulk") as client:
            yield RemoteRewards(client, name)
    except StepscoreError as error:
        console.fail_with(error, console.ENGINE_FAILED)
