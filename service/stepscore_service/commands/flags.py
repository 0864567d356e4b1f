"""Flags generated from the fields that they set: of Settings (flag, environment variable and field) and of options.

An options class is a dataclass with fields that are `Annotated[type, typer.Option(...)]`; it knows no command.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from typer.core import TyperCommand

from stepscore_service.jobs.runs import console
from stepscore_service.settings import PREFIX, LogFormat, Settings

Command = Callable[..., None]


class PlainHelp(TyperCommand):
    """Help without boxes, whose two columns have room for the names of variables in 80 characters."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "rich_markup_mode": None})


LogFormatFlag = Annotated[
    LogFormat,
    typer.Option("--log-format", envvar=f"{PREFIX}LOG_FORMAT", help="of standard error: console for people, or json"),
]
"""What `serve` has as a setting and every other command as this flag."""


def with_common(command: Command) -> Command:
    """A command as every one is: with --log-format. Ends it for nan and inf, and for a --split that does not exist."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    has_format = any(parameter.name == "log_format" for parameter in own)

    @wraps(command)
    def run(**given: Any) -> None:
        chosen = given.get("log_format") if has_format else given.pop("log_format")
        if (chosen or os.environ.get(f"{PREFIX}LOG_FORMAT")) == "json":  # settings are read after their flags
            console.speak_json()
        _check_values(given)
        command(**given)

    if not has_format:
        keyword = inspect.Parameter.KEYWORD_ONLY
        own.append(inspect.Parameter("log_format", keyword, default="console", annotation=LogFormatFlag))
    run.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in own}
    return run


def _check_values(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            console.fail(f"{_flag(name)} is {value}, which is not a number to compute with.")
    if given.get("split", "auto") != "auto":
        _check_split(given["split"])


def _check_split(how: str) -> None:
    from stepscore.errors import UnknownSplit
    from stepscore.text.segment import check_split

    try:
        check_split(how)
    except UnknownSplit as error:
        console.fail(f"--split: {error.message}")


def given_flags(context: typer.Context) -> dict[str, str]:
    """The flags of the command line, by the names of their parameters: no defaults, no environment variables."""
    given = []
    for each in context.command.params:
        source = context.get_parameter_source(each.name) if each.name else None
        if source is not None and source.name == "COMMANDLINE":
            given.append((str(each.name), [flag for flag in each.opts if flag.startswith("--")][-1:]))
    return {name: flags[0] for name, flags in given if flags}


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


def with_options(command: Command) -> Command:
    """Replace every parameter of a command that is an options class by one flag for each field that has an option.

    A field without a default is required; a tuple's flag may be given several times; the class's PANEL, if it has one,
    groups its flags in the help.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    expanded = {p.name: p.annotation for p in own if is_dataclass(p.annotation)}

    @wraps(command)
    def run(**given: Any) -> None:
        command(**{name: _options_from(kind, given) for name, kind in expanded.items()}, **given)

    flags = [_option(kind, field) for kind in expanded.values() for field in _fields_with_flags(kind)]
    parameters = [*(p for p in own if p.name not in expanded and p.kind is not p.KEYWORD_ONLY), *flags]
    parameters += [p for p in own if p.name not in expanded and p.kind is p.KEYWORD_ONLY]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _options_from(kind: Any, given: dict[str, Any]) -> Any:
    """The options class, its fields taken out of what was given."""
    values = {field.name: given.pop(field.name) for field in _fields_with_flags(kind)}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _fields_with_flags(kind: Any) -> list[Field[Any]]:
    hints = get_type_hints(kind, include_extras=True)
    return [field for field in fields(kind) if get_origin(hints[field.name]) is Annotated]


def _option(kind: Any, field: Field[Any]) -> inspect.Parameter:
    annotated, option = get_args(get_type_hints(kind, include_extras=True)[field.name])
    option = copy(option)
    option.rich_help_panel = option.rich_help_panel or getattr(kind, "PANEL", None)
    default: Any = inspect.Parameter.empty if field.default is MISSING else field.default
    if get_origin(annotated) is tuple:
        annotated, default = list[str], list(default)
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotated, option]
    )


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
