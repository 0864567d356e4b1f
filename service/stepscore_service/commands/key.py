"""`stepscore key`: a new API key for a service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from stepscore.errors import InvalidOption
from stepscore_service.jobs.runs import console


def key(
    name: Annotated[str, typer.Argument(help="whose key it is: letters, digits, . _ @ -")],
    file: Annotated[Path, typer.Option("--file", help="key file that `stepscore serve --api-keys` reads")],
    admin: Annotated[bool, typer.Option("--admin", help="may also reload weights")] = False,
    bulk: Annotated[bool, typer.Option("--bulk", help="its requests run after interactive ones")] = False,
    tokens_per_minute: Annotated[int, typer.Option("--tokens-per-minute", min=0, help="its quota; 0 sets none")] = 0,
) -> None:
    """Make an API key: its digest is appended to the file, the key itself is printed once and kept nowhere."""
    from stepscore_service.serving.keys import ApiKey, digest_of, make_key, read_keys

    secret = make_key()
    try:
        made = ApiKey(
            name=name,
            sha256=digest_of(secret),
            scopes=frozenset({"score", "admin"} if admin else {"score"}),
            priority="bulk" if bulk else "interactive",
            tokens_per_minute=tokens_per_minute,
        )
    except ValidationError:
        console.fail(f"{name!r} is not a name: up to 64 letters, digits, and . _ @ -")
    try:
        if file.exists() and name in {each.name for each in read_keys(file)}:
            console.fail(f"{file} has a key named {name}; remove that line to replace it")
        _append(file, made.model_dump_json())
    except InvalidOption as error:
        console.fail(error.message)
    except OSError as error:
        console.fail(f"{file} cannot be written: {error.strerror}")
    if console.speaks_json():
        console.write_json({"name": name, "key": secret})
    else:
        typer.echo(secret)


def _append(file: Path, line: str) -> None:
    """After a last line that an editor may have left without its end."""
    with file.open("a+b") as out:
        if size := out.seek(0, os.SEEK_END):
            out.seek(size - 1)
            line = line if out.read() == b"\n" else f"\n{line}"
        out.write(f"{line}\n".encode())
