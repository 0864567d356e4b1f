"""`stepscore data`: the published data that the commands read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from stepscore.errors import InvalidInput
from stepscore_service.jobs.data.benchmarks import PUBLISHED, download, published_data
from stepscore_service.jobs.runs import console

app = typer.Typer(help="Fetch the published data that the commands read.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List what can be fetched, with its licence and the command that reads it."""
    for name, data in PUBLISHED.items():
        if console.speaks_json():
            addresses = [data.address(file) for file in data.files]
            console.write_json({"name": name, "use": data.use, "licence": data.licence, "addresses": addresses})
            continue
        console.OUT.print(Text(name, style="bold"))
        console.OUT.print(f"  {data.use}; licence: {data.licence}", soft_wrap=True)
        for file in data.files:
            console.OUT.print(f"  {data.address(file)}", soft_wrap=True)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="one of `stepscore data list`")],
    out: Annotated[Path | None, typer.Option(help="folder for the files; default ./NAME")] = None,
) -> None:
    """Fetch the files of one benchmark or data set into a folder. What is there already is kept."""
    folder = out or Path(name)
    try:
        data = published_data(name)
        folder.mkdir(parents=True, exist_ok=True)
        for file in data.files:
            console.info(f"{download(data, file, folder)}")
    except InvalidInput as error:
        console.fail(f"{error.message}.")
    except OSError as error:
        console.fail(f"cannot write into {folder}: {error.strerror or error}. Give another --out.")
    console.info(f"Licence: {data.licence}. Read by: stepscore {data.use}.")
