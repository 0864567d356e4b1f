"""The same run on a Ray cluster (extra `ray`): Ray Data hands shards to workers, each with its own tools.

A shard is labelled by the same code from the same seeds as on one machine, so its files are the same; they come back
in whatever order they are done, and this process alone writes them.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ray

from stepscore.errors import GeneratorError
from stepscore_service.jobs.label.plan import Plan
from stepscore_service.jobs.label.shard import Finished, Shard
from stepscore_service.jobs.label.tools import Told, Tools

LOCAL = "local"
Row = dict[str, Any]
Open = Callable[[Plan, Told], Tools]


class Worker:
    """Labels shards in a process of the cluster. Opens the tools once."""

    def __init__(self, plan: Plan, open_: Open) -> None:
        self._tools = open_(plan, _unheard)

    def __call__(self, row: Row) -> Row:
        return {"finished": pickle.dumps(self._tools.label(pickle.loads(row["shard"])))}


def on_ray(shards: Iterable[Shard], *, plan: Plan, address: str, workers: int, open_: Open) -> Iterator[Finished]:
    """Finished shards as they come. address: `local` starts Ray on this machine; else a running cluster's, or `auto`.

    A worker takes as many GPUs as its policy spans where the plan says vllm or cuda, and none otherwise.
    Raises GeneratorError where the cluster cannot be reached or a worker fails.
    """
    waiting = [{"shard": pickle.dumps(shard)} for shard in shards]
    if not waiting:
        return
    try:
        where = None if address == LOCAL else address
        ray.init(address=where, log_to_driver=False, ignore_reinit_error=True, logging_level=logging.ERROR)
        yield from _labelled(waiting, plan, workers, open_)
    except (ray.exceptions.RayError, ConnectionError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise GeneratorError(f"labelling on Ray ({address}) failed: {reason}", reason=reason) from error
    finally:
        ray.shutdown()


def _labelled(waiting: list[Row], plan: Plan, workers: int, open_: Open) -> Iterator[Finished]:
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    on_gpu = plan.policy.generator == "vllm" or plan.policy.device == "cuda"
    worker: Any = Worker  # Ray takes a class whose instances are the function
    dataset = ray.data.from_items(waiting, override_num_blocks=len(waiting)).map(
        worker,
        fn_constructor_kwargs={"plan": plan, "open_": open_},
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_gpus=plan.policy.gpus if on_gpu else None,
    )
    for row in dataset.iter_rows():
        finished: Finished = pickle.loads(row["finished"])
        yield finished


def _unheard(rollouts: int) -> None:
    """A worker's rollouts are counted when its shard comes back."""
