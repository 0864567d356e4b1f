"""The same run on a Ray cluster (extra `ray`): Ray Data hands shards to workers, each with its own labeller.

A shard is labelled by the same code from the same seeds as on one machine, so its files are the same; they come back
in whatever order they are done, and this process alone writes them.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import ray

from stepscore.errors import GeneratorError
from stepscore_service.jobs.label.labeller import OpenLabeller, ignore_progress
from stepscore_service.jobs.label.plan import LabelPlan
from stepscore_service.jobs.label.shard import FinishedShard, Shard
from stepscore_service.jobs.runs.source import JsonRow

LOCAL = "local"


class Worker:
    """Labels shards in a process of the cluster. Opens the labeller once."""

    def __init__(self, plan: LabelPlan, open_: OpenLabeller) -> None:
        self._labeller = open_(plan, ignore_progress)

    def __call__(self, row: JsonRow) -> JsonRow:
        return {"finished": pickle.dumps(self._labeller.label(pickle.loads(row["shard"])))}


def on_ray(
    shards: Iterable[Shard], *, plan: LabelPlan, address: str, workers: int, open_: OpenLabeller
) -> Iterator[FinishedShard]:
    """Finished shards as they come.

    address: `local` starts Ray on this machine; else a running cluster's, or `auto`.

    A worker takes as many GPUs as its policy spans if the plan says vllm or cuda, and none otherwise.
    Raises GeneratorError if the cluster cannot be reached or a worker fails.
    """
    waiting = [{"shard": pickle.dumps(shard)} for shard in shards]
    if not waiting:
        return
    try:
        where = None if address == LOCAL else address
        ray.init(address=where, log_to_driver=False, ignore_reinit_error=True, logging_level=logging.ERROR)
        yield from _label(waiting, plan, workers, open_)
    except (ray.exceptions.RayError, ConnectionError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise GeneratorError(f"labelling on Ray ({address}) failed: {reason}", reason=reason) from error
    finally:
        ray.shutdown()


def _label(waiting: list[JsonRow], plan: LabelPlan, workers: int, open_: OpenLabeller) -> Iterator[FinishedShard]:
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
        finished: FinishedShard = pickle.loads(row["finished"])
        yield finished
