"""The command line. Each command is a file of `commands`; here they only get their names."""

from __future__ import annotations

import typer

from stepscore_service.commands import annotate, data, search
from stepscore_service.commands.evaluate import evaluate
from stepscore_service.commands.families import families
from stepscore_service.commands.fetch import fetch
from stepscore_service.commands.flags import PlainHelp, with_common
from stepscore_service.commands.key import key
from stepscore_service.commands.label import label
from stepscore_service.commands.push import push
from stepscore_service.commands.report import report
from stepscore_service.commands.rerank import rerank
from stepscore_service.commands.score import score
from stepscore_service.commands.serve import serve
from stepscore_service.commands.show import show
from stepscore_service.commands.train import train
from stepscore_service.commands.update import update
from stepscore_service.commands.verify_check import verify_check
from stepscore_service.commands.version import version

app = typer.Typer(
    name="stepscore",
    help="Step rewards of process reward models: served over HTTP, or offline over files.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
OFFLINE = (score, rerank, show, report, label, train, evaluate, verify_check)
app.command(cls=PlainHelp)(serve)
for command in (*OFFLINE, update, push, fetch, key, families, version):
    app.command()(command)
GROUPS = {"annotate": annotate.app, "search": search.app, "data": data.app}
for name, group in GROUPS.items():
    app.add_typer(group, name=name)
for each in (app, *GROUPS.values()):
    for registered in each.registered_commands:
        if registered.callback is not None:
            registered.callback = with_common(registered.callback)

if __name__ == "__main__":
    app()
