"""Every field of Settings as a flag: generated, so that flag, environment variable and field cannot drift apart."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from typing import Annotated, Any, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from stepscore.config import EngineOptions
from stepscore_service.jobs.runs import console
from stepscore_service.settings import PREFIX, Settings

MODEL_FLAGS = frozenset(
    {
        "models",
        "family",
        "family_options",
        "engine",
        "temperature",
        "calibration",
        *(option.name for option in fields(EngineOptions)),
    }
)
"""The settings that say which model reads and how: the offline commands take these, `serve` takes all."""

Command = Callable[..., None]


def with_settings(*, only: frozenset[str] | None = None) -> Callable[[Command], Command]:
    """Replace the parameter `settings` of a command by one flag for each field (of `only`, if given).

    Flags win over environment variables, these over defaults. A value that the field refuses ends the command.
    """
    chosen = {name: field for name, field in Settings.model_fields.items() if only is None or name in only}

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**given: Any) -> None:
            command(settings=settings_from({name: given.pop(name) for name in chosen}), **given)

        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "settings"]
        parameters = [*own, *(_parameter(name, field) for name, field in chosen.items())]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def settings_from(given: Mapping[str, Any]) -> Settings:
    """Settings with these fields; None and an empty list count as not given. Ends the command if one is refused."""
    try:
        return Settings(**{name: value for name, value in given.items() if value not in (None, [])})
    except ValidationError as error:
        console.fail("\n".join(_reason(problem) for problem in error.errors()))


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    flags = [_flag(name), "--model"] if name == "models" else [_flag(name)]
    text = f"{field.description} [env {PREFIX}{name.upper()}; default {_default(field)}]"
    kind: Any = str
    if field.annotation is bool:
        kind, flags = bool, [f"{_flag(name)}/--no-{_flag(name)[2:]}"]
    elif get_origin(field.annotation) is tuple:
        kind, text = list[str], f"{text} (may be given several times)"
    option = typer.Option(*flags, help=text, show_default=False, rich_help_panel="Settings")
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _default(field: FieldInfo) -> str:
    value = field.default
    return (", ".join(value) if isinstance(value, tuple) else str(value or (0 if value == 0 else ""))) or "none"


def _reason(problem: Mapping[str, Any]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    return f"{_flag(name)} ({PREFIX}{name.upper()}) is {problem['input']!r}: {message}"
