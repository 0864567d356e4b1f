"""`stepscore label`: step labels for problems whose answers are known."""

from __future__ import annotations

from typing import Annotated

import typer

from stepscore_service.commands.flags import with_options, with_settings
from stepscore_service.jobs.label.options import FilterOptions, LabelRunOptions, MethodOptions, PolicyOptions
from stepscore_service.settings import Settings

PLACE = frozenset({"device", "dtype", "max_tokens", "tensor_parallel_size"})

Problems = Annotated[
    str, typer.Argument(metavar="FILE.jsonl", help="problems with answers, and solutions if there are any")
]


@with_settings(only=PLACE)
@with_options
def label(
    file: Problems,
    *,
    options: LabelRunOptions,
    method: MethodOptions,
    filters: FilterOptions,
    policy: PolicyOptions,
    settings: Settings,
) -> None:
    """Label every step of solutions to problems whose answers are known.

    DIR gets labels-00000.jsonl, … (TRL's rows with counts) and manifest.json. Run the same command again after an
    interruption and it continues. Exit status: 0 done, 1 done but no rollout was right, 2 nothing could be done,
    3 it failed on the way.
    """
    from stepscore_service.jobs.label.plan import plan_of
    from stepscore_service.jobs.label.run import run  # loads torch, which `--help` need not wait for

    place = settings.device, settings.dtype, settings.max_tokens, settings.tensor_parallel_size
    run(plan_of(method, policy, place, filters, keep_rollouts=options.rollouts), file, options)
