"""How solutions are searched for. With the settings of the model, these fields are the flags of `stepscore search`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from stepscore_service.jobs.runs.source import ColumnsFlag

DEFAULT_POLICY = "qwen2.5-coder-0.5b"


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What every method takes."""

    PANEL: ClassVar[str] = "Search"

    columns: ColumnsFlag = ""
    policy: Annotated[
        str,
        typer.Option(
            help="policy that writes solutions: qwen2.5-coder-0.5b, qwen2.5-coder-1.5b, smollm2, a folder, a Hub id, "
            "vllm:MODEL, or URL[#NAME] of a server"
        ),
    ] = DEFAULT_POLICY
    prompt: Annotated[str, typer.Option(help="prompt of the policy, with {problem}; default its chat template")] = ""
    url: Annotated[
        str, typer.Option(help="a running service that scores, as URL or URL#MODEL; by default --model scores")
    ] = ""
    separator: Annotated[str, typer.Option(help="text that ends a step; \\n is a line break")] = "\\n\\n"
    policy_temperature: Annotated[float, typer.Option(min=0.0, help="sampling temperature of the policy")] = 0.8
    step_tokens: Annotated[int, typer.Option(min=1, help="longest step in tokens")] = 256
    solution_tokens: Annotated[
        int, typer.Option(min=1, help="longest completion that is sampled in one call, in tokens")
    ] = 1024
    budget_tokens: Annotated[int, typer.Option(min=0, help="policy tokens for one problem; 0 sets no limit")] = 0
    budget_rounds: Annotated[int, typer.Option(min=0, help="calls of the policy for one problem; 0 sets no limit")] = 0
    budget_seconds: Annotated[float, typer.Option(min=0.0, help="seconds for one problem; 0 sets no limit")] = 0.0
    choice: Annotated[
        str, typer.Option(help="how the winner is chosen: score, weighted, majority or first; default the method's")
    ] = ""
    aggregate: Annotated[str, typer.Option(help="aggregate of step rewards for the choice; default the model's")] = ""
    seed: Annotated[int, typer.Option(help="the same seed gives the same search")] = 0
    in_flight: Annotated[int, typer.Option(min=1, help="problems that are searched at once")] = 8
