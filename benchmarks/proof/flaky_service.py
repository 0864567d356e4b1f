"""The service as it is, but for forwards that run out of memory at random (`chaos`) or take a set time (`overload`)."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvicorn

from stepscore.engine.protocol import Work
from stepscore.errors import OutOfMemory, StepscoreError
from stepscore.scoring.protocol import Scoring
from stepscore.types import Reading
from stepscore_service.http.app import create_app
from stepscore_service.http.serve import Server, banner, listen, server_config
from stepscore_service.logs import configure_logs
from stepscore_service.serving.model_pool import open_scorers
from stepscore_service.settings import Settings

OOM_SHARE = float(os.environ.get("PROOF_OOM_SHARE", "0.1"))
SECONDS_PER_TOKEN = float(os.environ.get("PROOF_SECONDS_PER_TOKEN", "0"))


class Flaky:
    """A scorer of which a share of the forwards over several solutions fails; each takes longer by its tokens."""

    def __init__(self, scorer: Scoring) -> None:
        self._scorer = scorer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)

    def advance(self, works: Sequence[Work]) -> list[Reading | StepscoreError | None]:
        if len(works) > 1 and random.random() < OOM_SHARE:
            raise OutOfMemory("injected")
        time.sleep(SECONDS_PER_TOKEN * sum(work.token_budget for work in works))
        return self._scorer.advance(works)


def main() -> int:
    settings, listeners = listen(Settings())
    configure_logs(settings.log_format, settings.log_level)
    scorers: dict[str, Any] = {name: Flaky(scorer) for name, scorer in open_scorers(settings).items()}
    app = create_app(settings, scorers)
    host, port = listeners[0].getsockname()[:2]
    print(banner([each.info for each in scorers.values()], f"http://{host}:{port}", ""), flush=True)
    config: uvicorn.Config = server_config(settings, app)
    Server(config, app, settings.drain_seconds).run(sockets=listeners)
    return 0


if __name__ == "__main__":
    sys.exit(main())
