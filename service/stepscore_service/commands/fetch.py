"""`stepscore fetch`: the weights of the settings, fetched before a service needs them."""

from __future__ import annotations

from stepscore.errors import StepscoreError
from stepscore_service.commands.flags import with_settings
from stepscore_service.jobs.runs import console
from stepscore_service.settings import Settings, split_name


@with_settings(only=frozenset({"models", "tokenizers", "cache"}))
def fetch(*, settings: Settings) -> None:
    """Fetch what `serve` with the same settings would, without loading it: a later start needs no Hub."""
    from stepscore.checkpoint import checkpoint_facts, locate

    try:
        for name, model in map(split_name, settings.models):
            facts = checkpoint_facts(model, settings.cache)
            console.info(f"{name}: {facts.path} (revision {facts.revision})")
        for name, model in map(split_name, settings.tokenizers):
            console.info(f"{name}: {locate(model, weights=False)}")
    except StepscoreError as error:
        console.fail_with(error)
