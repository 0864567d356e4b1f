"""Small forwards at fixed shapes, recorded once and replayed: on CUDA one launch instead of several hundred.

A forward of few rows is over on the device before the host has launched its kernels one by one. A CUDA graph launches
all of them at once, but only over the same addresses and sizes. So a small forward is filled up to the next of a few
shapes, and its indices are copied to where the recorded forward reads them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch

from stepscore.config import CudaGraphs, Mode
from stepscore.engine.torch.attention import Attention, varlen_attention
from stepscore.engine.torch.decoder import Buffers, Decoder
from stepscore.engine.torch.dense_attention import DenseAttention
from stepscore.engine.torch.failures import first_line, lacks_memory
from stepscore.engine.torch.inputs import FixedInputs, FixedShape, ForwardInputs
from stepscore.engine.torch.kv_pool import KVPool
from stepscore.engine.torch.memory import RECORDING
from stepscore.engine.torch.packing import Packed
from stepscore.engine.torch.varlen_attention import has_flash
from stepscore.errors import UnsupportedByEngine

ROWS = (32, 64, 128, 192, 256, 384, 512, 640, 768, 896, 1024)
"""A forward of more rows takes the device longer than the host. Up to 64 rows, reading the weights takes longest."""
CONTEXTS = (1024, 2048, 4096, 8192, 16_384, 32_768)
SEGMENTS = 64
BLOCK = 128
"""Rows of a segment that one block of flash attention computes: more segments of no more rows start as many blocks."""
DENSE_ROWS, DENSE_CONTEXTS = 32, range(2048, 16_384 + 1)
"""So few rows of one segment over so long a past leave most of a GPU idle in flash attention. Over a longer one, the
scores are too large; of several segments, a number that is not finite would spread from one to the others."""

Forward = Callable[[], torch.Tensor]


class Recorder(Protocol):
    """Turns a forward into one that runs again over the same addresses, and returns the same tensor each time."""

    def record(self, forward: Forward) -> Forward: ...

    def forget(self) -> None:
        """Called before recorded forwards are dropped: waits for those that run."""
        ...


class CudaRecorder:
    """CUDA graphs. All share one pool of memory: each is replayed and read before the next one is replayed.

    cuBLAS has memory of its own for each stream, which a recording refers to. PyTorch drops it with any graph that was
    recorded on that stream (pytorch#193402). So graphs are recorded on a stream that no other engine records on, or
    else the end of an engine would take it from those that live. They are not run there before, or else that memory
    would come from outside of the pool, and serve others after it was dropped.
    """

    def __init__(self) -> None:
        self._memory: Any = torch.cuda.graph_pool_handle()
        self._stream, self._first_run = torch.cuda.Stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def record(self, forward: Forward) -> Forward:
        """Runs the forward once before: kernels are loaded and layers compiled outside of the graph.

        Raises RuntimeError if it cannot be recorded.
        """
        current = torch.cuda.current_stream()
        self._first_run.wait_stream(current)
        try:
            with torch.cuda.stream(self._first_run):
                forward()
        finally:  # out of memory on the way: what was launched must not write after what comes next
            current.wait_stream(self._first_run)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._memory, stream=self._stream, capture_error_mode="thread_local"):
            found = forward()

        def replay() -> torch.Tensor:
            graph.replay()
            return found

        return replay

    def forget(self) -> None:
        """PyTorch does not record into a pool of memory whose graphs are all gone: the next ones get another."""
        torch.cuda.synchronize()
        self._memory = torch.cuda.graph_pool_handle()


class CallRecorder:
    """The same without CUDA: a call of the same function over the same tensors, and one tensor for what it returns."""

    def record(self, forward: Forward) -> Forward:
        found = forward().clone()

        def replay() -> torch.Tensor:
            return found.copy_(forward())

        return replay

    def forget(self) -> None:
        """Nothing runs."""


def shape_of(packed: Packed) -> FixedShape | None:
    """The smallest shape that holds the forward with its filling; None if it is too large for all of them."""
    tokens, counts = len(packed.ids), [each.stop - each.start for each in packed.segments]
    rows = _first(ROWS, max(tokens, len(packed.pair_rows)))
    if rows is None or len(counts) > SEGMENTS:
        return None
    context = _first(CONTEXTS, rows + sum(each.depth for each in packed.segments))
    if context is None:
        return None
    dense = len(counts) == 1 and rows <= DENSE_ROWS and context in DENSE_CONTEXTS
    short = max(*counts, rows - tokens) <= BLOCK
    return FixedShape(rows, 2 + (1 if dense else SEGMENTS), context, longest=min(rows, BLOCK) if short else rows)


def _first(sizes: Sequence[int], needed: int) -> int | None:
    return next((each for each in sizes if each >= needed), None)


class RecordableModel(Protocol):
    @property
    def decoder(self) -> Decoder: ...

    @property
    def pool(self) -> KVPool: ...


class Recording:
    """The forward of every model at one shape, over indices that they share. outputs: where each one's (P, D) goes."""

    def __init__(
        self,
        shape: FixedShape,
        packed: Packed,
        models: Sequence[RecordableModel],
        buffers: Sequence[Buffers],
        outputs: Sequence[torch.Tensor],
        recorder: Recorder,
    ) -> None:
        first = models[0]
        self._fixed = FixedInputs(shape, packed, first.decoder.device, first.pool.slots)
        inputs = self._fixed.inputs
        self._replays = []
        for model, each, out_PD in zip(models, buffers, outputs, strict=True):
            attention = partial(_attention, shape, inputs, model.pool)
            self._replays.append(recorder.record(partial(_run_into, out_PD, model, attention, inputs, each)))

    def run(self, packed: Packed) -> tuple[list[torch.Tensor], torch.Tensor]:
        self._fixed.load(packed)
        pairs = len(packed.pair_rows)
        return [replay()[:pairs] for replay in self._replays], self._fixed.inputs.targets[:pairs]


def _run_into(
    out_PD: torch.Tensor,
    model: RecordableModel,
    attention: Callable[[], Attention],
    inputs: ForwardInputs,
    buffers: Buffers,
) -> torch.Tensor:
    """A forward whose numbers go to memory that all recordings share: each holds no more than its launches."""
    found = model.decoder.run(inputs, attention(), buffers)
    return out_PD[: len(found)].copy_(found)


def _attention(shape: FixedShape, inputs: ForwardInputs, pool: KVPool) -> Attention:
    return varlen_attention(inputs, pool) if shape.segments > 3 else DenseAttention(inputs)


class SmallForwards:
    """Runs forwards that `shape_of` knows a shape for. What it returns is overwritten by the next one.

    Weights may change in place. If a tensor that was recorded is replaced, everything is recorded anew.
    fault: why nothing can be recorded, and so nothing is; None while that works.
    """

    def __init__(self, models: Sequence[RecordableModel], recorder: Recorder) -> None:
        self.fault: str | None = None
        self._models = models
        self._recorder = recorder
        self._buffers: list[Buffers] = []
        self._outputs: list[torch.Tensor] = []
        self._recordings: dict[FixedShape, Recording] = {}

    def run(self, packed: Packed) -> tuple[list[torch.Tensor], torch.Tensor] | None:
        """Hidden states (P, D) of each model and targets (P,); None if the forward is not to be run here.

        Raises RuntimeError if memory is lacking; any other failure to record is a warning, and nothing is recorded from
        then on.
        """
        shape = shape_of(packed)
        if shape is None or self.fault is not None:
            return None
        self._check_buffers(shape, packed)
        if shape not in self._recordings and not self._record(shape, packed):
            return None
        return self._recordings[shape].run(packed)

    def forget(self) -> None:
        """Give back what recordings hold, before tensors that they hold are replaced: weights, or a pool."""
        if self._buffers:
            self._forget()
            self._buffers = []

    def prepare_growth(self, rows: int) -> None:
        """Forget recordings over pools that must grow to hold so many rows: they would keep the old ones."""
        if any(rows > model.pool.scratch for model in self._models):
            self.forget()

    def _check_buffers(self, shape: FixedShape, packed: Packed) -> None:
        self.prepare_growth(shape.rows)
        for model in self._models:
            model.pool.reserve(shape.rows)
        last = max(each.depth + each.stop - each.start for each in packed.segments)
        buffers = [model.decoder.buffers(model.pool, last) for model in self._models]
        if not all(each.same(other) for each, other in zip(buffers, self._buffers, strict=False)):
            self._forget()
        self._buffers = buffers

    def _places(self) -> list[torch.Tensor]:
        if not self._outputs:
            decoders = [model.decoder for model in self._models]
            self._outputs = [
                torch.empty((max(ROWS), each.architecture.width), device=each.device, dtype=each.dtype)
                for each in decoders
            ]
        return self._outputs

    def _forget(self) -> None:
        """Give back what recordings hold: their activations, and the pools that they write to."""
        with RECORDING:
            self._recorder.forget()
            self._recordings.clear()

    def _record(self, shape: FixedShape, packed: Packed) -> bool:
        try:
            with RECORDING:
                self._recordings[shape] = Recording(
                    shape, packed, self._models, self._buffers, self._places(), self._recorder
                )
        except RuntimeError as error:
            if lacks_memory(error):
                raise
            self.fault = first_line(error)
            self._forget()
            warnings.warn(f"CUDA graphs are off, since a forward cannot be recorded: {self.fault}", stacklevel=2)
            return False
        return True


def records(wanted: CudaGraphs, mode: Mode, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether small forwards are recorded: auto does it on CUDA. Raises UnsupportedByEngine for `on` elsewhere."""
    possible = mode == "fast" and device.type == "cuda" and has_flash(device, dtype)
    if wanted == "on" and not possible:
        raise UnsupportedByEngine(
            "cuda_graphs=on is refused: graphs are for mode fast in bfloat16 on CUDA (Ampere or later)", engine="torch"
        )
    return possible and wanted != "off"
