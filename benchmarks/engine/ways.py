"""The ways to do a workload in this process: the engine's modes and its peers, over one checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine.measure import Runner
from benchmarks.engine.peers import Batches, TransformersPeer, one_at_a_time, padded, sorted_with_budget
from benchmarks.engine.search_and_learn import SearchAndLearnPeer, refusal
from benchmarks.engine.subjects import Subject
from benchmarks.engine.workloads import Workload
from stepscore.config import Compile, Device, DType, EngineOptions
from stepscore.engine.open import open_engine
from stepscore.engine.protocol import Engine
from stepscore.engine.reference import ReferenceModel, open_reference_engine
from stepscore.placement import choose_forward
from stepscore.types import Encoded, Values

LOOP, PADDED, SORTED, THEIRS = "card's loop", "padded 16", "sorted, token budget", "search-and-learn"
KEEPS = "engine, fast"
ENGINE: dict[str, dict[str, Any]] = {
    KEEPS: {"mode": "fast"},
    "engine, no KV across calls": {"mode": "fast", "kv_cache_bytes": 0},
    "engine, invariant": {"mode": "invariant"},
}
BATCHES: dict[str, Callable[[torch.device], Callable[[Sequence[Encoded]], Batches]]] = {
    LOOP: lambda device: one_at_a_time,
    PADDED: lambda device: padded(16),
    SORTED: lambda device: sorted_with_budget(choose_forward(device)),
}
"""How each peer forms its batches. The budget is the engine's own: 1,024 tokens on a CPU, 4,096 on a GPU."""


class EngineRunner:
    """An engine as a way."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def computed(self) -> int:
        return self.engine.counts().computed

    def __call__(self, call: Sequence[Encoded]) -> list[Values]:
        return self.engine.forward(call)

    def purge(self) -> None:
        self.engine.purge()


@dataclass(frozen=True, slots=True)
class Ways:
    """What one subject is measured with. chosen: only the ways of these names; empty for all.

    search_and_learn: a checkout of that project, or None. models: loaded once for each dtype.
    """

    subject: Subject
    device: Device
    dtype: DType
    search_and_learn: Path | None
    chosen: Sequence[str] = ()
    kv_cache_bytes: int = 1 << 30
    compile: Compile = "auto"
    models: dict[str, ReferenceModel] = field(default_factory=dict)

    def exact(self) -> Runner:
        """The plain loop in fp32."""
        return TransformersPeer(self._model("float32"), one_at_a_time)

    def of(self, workload: Workload) -> Mapping[str, Callable[[], Any]]:
        """Names of the ways that differ on a workload, each with what opens it as a context of a runner."""
        found = {name: self._peer(name) for name in BATCHES if name == LOOP or not workload.one_a_call}
        if not (workload.one_a_call or self.subject.reads_targets or refusal(self.search_and_learn)):
            found[THEIRS] = self._theirs(workload)
        found |= {name: self._engine(name) for name in ENGINE if name == KEEPS or not workload.one_a_call}
        return {name: opened for name, opened in found.items() if self.wants(name)}

    def wants(self, name: str) -> bool:
        return not self.chosen or name.startswith(tuple(self.chosen))

    def _peer(self, name: str) -> Callable[[], Any]:
        @contextmanager
        def opened() -> Iterator[Runner]:
            yield TransformersPeer(self._model(self.dtype), BATCHES[name](torch.device(self.device)))

        return opened

    def _theirs(self, workload: Workload) -> Callable[[], Any]:
        @contextmanager
        def opened() -> Iterator[Runner]:
            assert self.search_and_learn is not None
            model = self._model(self.dtype)
            yield SearchAndLearnPeer(self.search_and_learn, model, self.subject.marker, workload.one_problem)

        return opened

    def _engine(self, name: str) -> Callable[[], Any]:
        @contextmanager
        def opened() -> Iterator[Runner]:
            changes: dict[str, Any] = {"kv_cache_bytes": self.kv_cache_bytes, "compile": self.compile} | ENGINE[name]
            options = EngineOptions(device=self.device, dtype=self.dtype, **changes)
            engine = open_engine(self.subject.facts, self.subject.head, options)
            try:
                yield EngineRunner(engine)
            finally:
                engine.close()

        return opened

    def _model(self, dtype: DType) -> ReferenceModel:
        if dtype not in self.models:
            options = EngineOptions(device=self.device, dtype=dtype, mode="reference")
            self.models[dtype] = open_reference_engine(self.subject.facts, self.subject.head, options).models[0]
        return self.models[dtype]
