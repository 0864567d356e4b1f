"""What an update reads, writes and learns by. These fields are the flags of `update`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from typer import Option


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """What the rounds of one folder have in common.

    model: the first weights. reference: stays as it is; empty is the model. samples: rollouts of one problem that stand
    together; 0 leaves returns out. micro: solutions of one forward.
    """

    PANEL: ClassVar[str] = "Learning"

    model: Annotated[str, Option(help="the implicit PRM that the first round starts from")]
    reference: Annotated[
        str, Option(help="frozen reference model; by default the model itself", show_default=False)
    ] = ""
    samples: Annotated[int, Option(min=0, help="rollouts of each problem, for returns")] = 0
    batch: Annotated[int, Option(min=0, help="solutions in one step; 0 takes all")] = 0
    micro: int = 4
    rate: Annotated[float, Option(min=0.0, help="learning rate")] = 1e-6
    clip: Annotated[float, Option(min=0.0, help="largest norm of the gradient")] = 10.0
    beta: Annotated[float, Option(min=0.0, help="factor of the log-ratio in the loss")] = 0.05

    def identity(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class UpdateRunOptions:
    """keep: the newest rounds, the model's own among them."""

    PANEL: ClassVar[str] = "Rounds"

    out: Annotated[Path, Option(metavar="DIR", help="where rounds are written, numbered")]
    keep: Annotated[int, Option(min=2, help="rounds that stay on disk")] = 3
    push: Annotated[
        str, Option(metavar="URL", help="the service to which the new weights are pushed", show_default=False)
    ] = ""
    served: Annotated[str | None, Option(help="name of the model there; by default the first")] = None
