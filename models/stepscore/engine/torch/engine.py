"""The engine on PyTorch: packed forwards over flat segments, prefixes computed once inside and across calls."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from stepscore.checkpoint import read_facts
from stepscore.config import CheckpointFacts, EngineOptions, Quantize
from stepscore.engine.failures import engine_error
from stepscore.engine.memory import check_memory
from stepscore.engine.protocol import EngineInfo, TokenCounts
from stepscore.engine.torch.architecture import read_architecture
from stepscore.engine.torch.chunks import Chunks
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.kv_pool import KVPool, SlotPool, bytes_per_token
from stepscore.engine.torch.linear import tile_for
from stepscore.engine.torch.loading import load_decoder
from stepscore.engine.torch.packing import Packed
from stepscore.engine.torch.planning import Plan, UnsharedPlan, needed_ids
from stepscore.engine.torch.quantize import quantize
from stepscore.engine.torch.radix import RadixTree
from stepscore.engine.torch.readout import Readout, load_readout
from stepscore.engine.torch.tree_plan import TreePlan, tree_cost
from stepscore.engine.torch.varlen_attention import check_invariant
from stepscore.engine.torch.weights import Weights
from stepscore.engine.validation import SequenceLimits
from stepscore.engine.work import Work
from stepscore.errors import CheckpointError, OutOfMemory
from stepscore.family.heads import Head, TokenLogProbHead
from stepscore.placement import Placement, choose_forward, place
from stepscore.types import Encoded, EncodedSolution, Values


@dataclass(slots=True)
class Model:
    """A decoder with its head, and its part of the KV cache (None if prefixes are not kept)."""

    decoder: Decoder
    readout: Readout
    pool: KVPool | None = None

    def run(self, packed: Packed) -> torch.Tensor:
        """(P, C) fp32."""
        hidden_PD = self.decoder.forward(packed, self.pool)
        targets_P = torch.from_numpy(packed.pair_targets).to(self.decoder.device)
        return self.readout(hidden_PD, targets_P)


class TorchEngine:
    """Modes `fast` and `invariant` of the engine protocol.

    `cost`, `counts` and `purge` may be called from other threads while a forward runs.
    """

    def __init__(self, models: Sequence[Model], info: EngineInfo, limits: SequenceLimits, kv_cache_bytes: int) -> None:
        self.info = info
        self.models = list(models)
        self._limits = limits
        self._prompt = self._computed = 0
        self._ran_out = False
        self._running = threading.Lock()
        self._lock = threading.Lock()
        self._tree = RadixTree(self._reserve(kv_cache_bytes)) if info.mode == "fast" else None

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
        each = [Work(EncodedSolution((one,), len(one.reads)), self.info.max_batch_tokens) for one in batch]
        waiting = sorted(each, key=lambda work: work.encoded.sequences[0].ids, reverse=True)
        try:
            with self._running:
                while waiting:
                    self._one_forward(waiting)
        finally:
            for work in waiting:
                self.release(work)
        return [work.outputs[0] for work in each]

    def advance(self, works: Sequence[Work]) -> None:
        self._limits.check([sequence for work in works for sequence in work.remaining.sequences])
        with self._running, self._chunks() as chunks:
            for work in works:
                chunks.take(work)

    def release(self, work: Work) -> None:
        with self._lock:
            work.release()

    def purge(self) -> None:
        """Waits for a running forward. New weights come in an engine of their own, with its own tree."""
        if self._tree is not None:
            with self._running, self._lock:
                self._tree.clear()

    def quantize(self, kind: Quantize) -> None:
        """Turn the decoders' large weights into 8 bits, and forget what was computed with the old ones."""
        with self._running:
            for model in self.models:
                quantize(model.decoder, kind)
        self.purge()

    def close(self) -> None:
        self.purge()
        self.models.clear()

    def _one_forward(self, waiting: list[Work]) -> None:
        """Take works off the end of `waiting` until a forward is full, and run it."""
        with self._chunks(self.info.max_batch_tokens) as chunks:
            while waiting and chunks.take(waiting[-1]):
                waiting.pop()

    @contextmanager
    def _chunks(self, budget: float = math.inf) -> Iterator[Chunks]:
        """Filled inside the context, run at its end. A forward that fails leaves no trace."""
        plan: Plan = UnsharedPlan() if self._tree is None else TreePlan(self._tree)
        finished = False
        try:
            chunks = Chunks(plan, budget)
            with self._lock:
                yield chunks
            values = self._run(plan.packed())
            with self._lock:
                self._prompt += chunks.finish(values)
            self._computed += plan.rows
            finished = True
        finally:
            if not finished:
                with self._lock:
                    plan.abandon()

    @torch.inference_mode()
    def _run(self, packed: Packed) -> Values:
        """(P, C): the numbers of all models, side by side."""
        if not len(packed.ids):
            return np.empty((0, self._limits.outputs), dtype=np.float32)
        if self._ran_out and torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            numbers = torch.cat([model.run(packed) for model in self.models], dim=1)
        except RuntimeError as error:
            failure = engine_error(error, len(packed.ids))
            self._ran_out = isinstance(failure, OutOfMemory)
            raise failure from error
        self._ran_out = False
        values: Values = numbers.cpu().numpy()
        return values

    def _reserve(self, kv_cache_bytes: int) -> SlotPool:
        """As many slots as the budget holds, over all models; the same slot number serves each of them."""
        decoders = [model.decoder for model in self.models]
        each = sum(bytes_per_token(decoder.architecture, decoder.dtype) for decoder in decoders)
        slots = SlotPool(kv_cache_bytes // each)
        for model, decoder in zip(self.models, decoders, strict=True):
            model.pool = KVPool(decoder.architecture, slots.capacity, decoder.device, decoder.dtype)
        return slots


def open_torch_engine(facts: CheckpointFacts, head: Head, options: EngineOptions) -> TorchEngine:
    """Load a checkpoint (and the reference model, for a head that reads one) onto a device.

    Raises CheckpointError if files, keys or shapes are wrong, UnsupportedByEngine for other architectures.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    placement = place(options.device, options.dtype, options.max_tokens, facts.max_tokens)
    device, max_tokens = placement.device, placement.max_tokens
    if options.mode == "invariant":
        check_invariant(device, placement.dtype)
        placement = replace(placement, tile=tile_for(device))
    checkpoints = checkpoints_of(facts, head, options)
    check_memory(checkpoints, options.kv_cache_bytes, placement.dtype, device)
    models = [_load(each, head, placement) for each in checkpoints]
    info = EngineInfo(
        name="torch",
        device=str(device),
        dtype=placement.dtype_name,
        mode=options.mode,
        max_tokens=max_tokens,
        max_batch_tokens=options.max_batch_tokens or choose_forward(device),
        chunked=options.mode == "fast" and options.kv_cache_bytes > 0,
    )
    vocabulary = min(model.decoder.architecture.vocabulary for model in models)
    return TorchEngine(models, info, SequenceLimits(max_tokens, vocabulary, head), options.kv_cache_bytes)


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
        return Model(
            load_decoder(weights, architecture, placement), load_readout(head, weights, architecture, placement)
        )
    finally:
        weights.close()
