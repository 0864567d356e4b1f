"""The engine on PyTorch: packed forwards over flat segments, prefixes computed once inside and across calls."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from stepscore.checkpoint import read_facts
from stepscore.config import CheckpointFacts, EngineOptions, Quantize
from stepscore.engine.protocol import SMALLEST_FORWARD, EngineInfo, SequenceLimits, TokenCounts, Work
from stepscore.engine.torch.architecture import Architecture, read_architecture
from stepscore.engine.torch.chunks import Chunks
from stepscore.engine.torch.compiling import check_compiler, compiles, keep_compiled
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.failures import engine_error, errors_of_loading
from stepscore.engine.torch.host_copy import HostCopy
from stepscore.engine.torch.kv_pool import KVPool, SlotPool, bytes_per_token
from stepscore.engine.torch.linear import tile_for
from stepscore.engine.torch.loading import load_decoder
from stepscore.engine.torch.memory import cache_bytes, check_memory, give_back
from stepscore.engine.torch.packed_linear import pack, packs
from stepscore.engine.torch.packing import Packed
from stepscore.engine.torch.planning import Plan, UnsharedPlan, needed_ids
from stepscore.engine.torch.quantize import quantize
from stepscore.engine.torch.radix import RadixTree
from stepscore.engine.torch.readout import Readout, load_readout
from stepscore.engine.torch.small_forwards import ROWS, CudaRecorder, Recorder, SmallForwards, records
from stepscore.engine.torch.tree_plan import TreePlan, tree_cost
from stepscore.engine.torch.varlen_attention import check_invariant, has_flash
from stepscore.engine.torch.weights import Weights
from stepscore.errors import CheckpointError, EngineError, OutOfMemory, forget_frames
from stepscore.family.heads import Head, TokenLogProbHead
from stepscore.placement import Placement, choose_forward, choose_large_forward, place
from stepscore.types import Encoded, EncodedSolution, Values

IN_FLIGHT = 2
"""Forwards on a GPU at a time: one is planned while the other runs. On a CPU both would want the same cores."""


@dataclass(slots=True)
class Model:
    """A decoder with its head, and its part of the KV cache (without slots if prefixes are not kept)."""

    decoder: Decoder
    readout: Readout
    pool: KVPool


class TorchEngine:
    """Modes `fast` and `invariant` of the engine protocol.

    `cost`, `counts` and `purge` may be called from other threads while a forward runs.
    """

    def __init__(
        self, models: Sequence[Model], info: EngineInfo, limits: SequenceLimits, recorder: Recorder | None = None
    ) -> None:
        """recorder: records small forwards; None runs them like all others."""
        self.info = info
        self.models = list(models)
        self.small = None if recorder is None else SmallForwards(self.models, recorder)
        self._limits = limits
        self._prompt = self._computed = 0
        self._ran_out = False
        self._running = threading.Lock()
        self._lock = threading.Lock()
        self._tree = RadixTree(SlotPool(models[0].pool.slots)) if info.mode == "fast" else None

    def counts(self) -> TokenCounts:
        if self._tree is None:
            return TokenCounts(self._prompt, self._computed)
        tree = self._tree
        return TokenCounts(self._prompt, self._computed, tree.kept, tree.capacity, tree.evicted)

    def cost(self, encoded: Encoded) -> int:
        if self._tree is None:
            return len(needed_ids(encoded))
        with self._lock:
            return tree_cost(self._tree, encoded)

    def forward(self, batch: Sequence[Encoded]) -> list[Values]:
        self._limits.check(batch)
        each = [Work(EncodedSolution((one,), len(one.reads))) for one in batch]
        waiting = sorted(each, key=lambda work: work.encoded.sequences[0].ids, reverse=True)
        try:
            with self._running:
                self._run_all(waiting)
        finally:
            for work in waiting:
                self.release(work)
        return [work.outputs[0] for work in each]

    def advance(self, works: Sequence[Work]) -> None:
        self.launch(works)()

    def launch(self, works: Sequence[Work]) -> Callable[[], None]:
        self._limits.check([sequence for work in works for sequence in work.remaining.sequences])
        with self._running:
            return self._launch(lambda chunks: [chunks.take(work) for work in works])

    def release(self, work: Work) -> None:
        with self._lock:
            work.release()

    def purge(self) -> None:
        """Waits for a forward that is being started. New weights come in an engine of their own, with its own tree."""
        if self._tree is not None:
            with self._running, self._lock:
                self._tree.clear()

    def quantize(self, kind: Quantize) -> None:
        """Turn the decoders' large weights into 8 bits, and forget what was computed with the old ones."""
        with self._running:
            if self.small is not None:
                self.small.forget()
            for model in self.models:
                with errors_of_loading("the model, in 8 bits,"):
                    quantize(model.decoder, kind)
        self.purge()

    def close(self) -> None:
        """Waits for a forward that is being started; later ones raise EngineError. Other models may take the memory."""
        self.purge()
        with self._running:
            self.small = None
            self.models.clear()
        give_back()

    def _run_all(self, waiting: list[Work]) -> None:
        """Forwards until nothing is left, in halves from one on that does not fit into memory."""
        budget, running = self.info.large_batch_tokens or self.info.max_batch_tokens, deque[Callable[[], None]]()
        try:
            while waiting or running:
                if not waiting or len(running) == self.info.in_flight:
                    running.popleft()()
                elif (finish := self._try_launch(waiting, budget)) is not None:
                    running.append(finish)
                else:
                    budget //= 2
                    _finish_all(running)
        finally:
            _finish_all(running)

    def _try_launch(self, waiting: list[Work], budget: int) -> Callable[[], None] | None:
        """Start a forward with works off the end; None, and nothing, if only less might fit into memory."""
        whole = list(waiting)
        try:
            return self._launch(partial(_fill, waiting, budget), budget)
        except OutOfMemory as error:
            if budget <= SMALLEST_FORWARD:
                raise
            forget_frames(error)
            waiting[:] = whole
            return None

    def _launch(self, fill: Callable[[Chunks], object], budget: float = math.inf) -> Callable[[], None]:
        """Start one forward; what waits for its numbers. One that cannot be started leaves no trace."""
        plan: Plan = UnsharedPlan() if self._tree is None else TreePlan(self._tree)
        started = False
        try:
            chunks = Chunks(plan, budget)
            with self._lock:
                fill(chunks)
            numbers = self._start(plan.packed())
            with self._lock:
                chunks.commit()
            self._computed += plan.rows
            started = True
        finally:
            if not started:
                with self._lock:
                    plan.abandon()
        return partial(self._finish, chunks, numbers, plan.rows)

    def _finish(self, chunks: Chunks, numbers: HostCopy, rows: int) -> None:
        try:
            values = numbers.wait()
        except RuntimeError as error:
            if self._tree is not None:
                with self._lock:
                    self._tree.clear()
            raise engine_error(error, rows) from error
        with self._lock:
            self._prompt += chunks.finish(values)

    @torch.inference_mode()
    def _start(self, packed: Packed) -> HostCopy:
        """(P, C): the numbers of all models, side by side. Raises EngineError after `close`."""
        if not self.models:
            raise EngineError("this engine was closed; open it again")
        if not len(packed.ids):
            return HostCopy(torch.empty((0, self._limits.head.outputs)))
        if self._ran_out:
            give_back()
        try:
            hidden, targets = self._hidden(packed)
            read = [model.readout(each, targets) for model, each in zip(self.models, hidden, strict=True)]
            numbers = HostCopy(torch.cat(read, dim=1))
        except RuntimeError as error:
            failure = engine_error(error, len(packed.ids))
            self._ran_out = isinstance(failure, OutOfMemory)
            raise failure from error
        self._ran_out = False
        return numbers

    def _hidden(self, packed: Packed) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Hidden states (P, D) of each model, and targets (P,)."""
        if self.small is not None and (found := self.small.run(packed)) is not None:
            return found
        first = self.models[0]
        inputs = first.decoder.load(packed, first.pool.slots)
        if self.small is not None:
            self.small.prepare_growth(len(inputs.write))
        return [model.decoder.forward(inputs, model.pool) for model in self.models], inputs.targets


def _finish_all(running: deque[Callable[[], None]]) -> None:
    while running:
        running.popleft()()


def _fill(waiting: list[Work], budget: int, chunks: Chunks) -> None:
    """Take works off the end of `waiting` until the forward is full."""
    for work in waiting:
        work.token_budget = budget
    while waiting and chunks.take(waiting[-1]):
        waiting.pop()


def open_torch_engine(facts: CheckpointFacts, head: Head, options: EngineOptions) -> TorchEngine:
    """Load a checkpoint (and the reference model, for a head that reads one) onto a device.

    Raises CheckpointError if files, keys or shapes are wrong, UnsupportedByEngine for other architectures,
    NotEnoughMemory, and EngineDead if the device fails.
    """
    with errors_of_loading(facts.name):
        return _open(facts, head, options)


def _open(facts: CheckpointFacts, head: Head, options: EngineOptions) -> TorchEngine:
    if options.threads:
        torch.set_num_threads(options.threads)
    placement = place(options.device, options.dtype, options.max_tokens, facts.max_tokens)
    device, max_tokens = placement.device, placement.max_tokens
    if options.mode == "invariant":
        check_invariant(device, placement.dtype)
        placement = replace(placement, tile=tile_for(device))
    checkpoints = checkpoints_of(facts, head, options)
    check_memory(checkpoints, options.kv_cache_bytes, placement.dtype, device)
    max_batch_tokens = options.max_batch_tokens or choose_forward(device)
    models = [_load(each, head, placement) for each in checkpoints]
    packed, compiling = packs(options.mode, device, placement.dtype), compiles(options.compile, options.mode, device)
    if compiling:
        check_compiler(device)
        keep_compiled()
    for model in models:
        if packed:
            pack(model.decoder)
        if compiling:
            model.decoder.compile_elementwise() if packed else model.decoder.compile()
    large = choose_large_forward(device, options.max_batch_tokens)
    cache = cache_bytes(options.kv_cache_bytes, device, activation_bytes(models, large))
    if options.mode == "fast":
        add_cache(models, cache, scratch=max(large, ROWS[-1]) if has_flash(device, placement.dtype) else 0)
    info = EngineInfo(
        name="torch",
        device=str(device),
        dtype=placement.dtype_name,
        mode=options.mode,
        max_tokens=max_tokens,
        max_batch_tokens=max_batch_tokens,
        chunked=options.mode == "fast" and cache > 0,
        large_batch_tokens=large,
        in_flight=IN_FLIGHT if device.type == "cuda" else 1,
    )
    vocabulary = min(model.decoder.architecture.vocabulary for model in models)
    recorder = CudaRecorder() if records(options.cuda_graphs, options.mode, device, placement.dtype) else None
    return TorchEngine(models, info, SequenceLimits(max_tokens, vocabulary, head), recorder)


def add_cache(models: Sequence[Model], kv_cache_bytes: int, scratch: int = 0) -> None:
    """As many slots as the budget holds, over all models; the same slot number serves each of them.

    scratch: slots for rows that are not kept, so that no forward has to make room for them.
    """
    decoders = [model.decoder for model in models]
    each = sum(bytes_per_token(decoder.architecture, decoder.dtype) for decoder in decoders)
    for model, decoder in zip(models, decoders, strict=True):
        model.pool = KVPool(decoder.architecture, kv_cache_bytes // each, decoder.device, decoder.dtype, scratch)


def activation_bytes(models: Sequence[Model], rows: int) -> int:
    """What a forward of so many rows takes beside weights and cache, roughly: a layer's tensors, and scratch slots."""
    return sum(_activations(model.decoder.architecture, model.decoder.dtype) * rows for model in models)


def _activations(architecture: Architecture, dtype: torch.dtype) -> int:
    """Bytes of one row."""
    heads = architecture.head_width * (architecture.heads + 4 * architecture.key_heads)
    layer = (4 * architecture.inner + 6 * architecture.width + 3 * heads) * dtype.itemsize
    return layer + bytes_per_token(architecture, dtype)


def checkpoints_of(facts: CheckpointFacts, head: Head, options: EngineOptions) -> list[CheckpointFacts]:
    """The checkpoint and, for a head that reads against one, its reference model."""
    if not (isinstance(head, TokenLogProbHead) and head.reference):
        return [facts]
    if options.reference_model is None:
        raise CheckpointError(f"{facts.name} is read against a reference model, and none is given", name=facts.name)
    return [facts, read_facts(options.reference_model)]


def _load(facts: CheckpointFacts, head: Head, placement: Placement) -> Model:
    architecture = read_architecture(facts, placement.max_tokens)
    weights = Weights(facts.path)
    try:
        decoder = load_decoder(weights, architecture, placement)
        readout = load_readout(head, weights, architecture, placement)
        return Model(decoder, readout, KVPool(architecture, 0, decoder.device, decoder.dtype))
    finally:
        weights.close()
