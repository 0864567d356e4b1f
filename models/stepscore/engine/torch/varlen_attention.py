"""Causal attention of all segments in one flash-attention call, on CUDA in 16-bit numbers.

Shapes: T rows of the forward, H query heads, G key heads, E head width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import cast

import numpy as np
import torch
from torch.nn import functional

from stepscore.engine.torch.gathering import KeysValues
from stepscore.engine.torch.packing import Indices, Segment
from stepscore.errors import UnsupportedByEngine

Kernel = Callable[..., torch.Tensor]
EXTRAS = {"enable_gqa": True, "num_splits": 1}
"""Passed to kernels that accept them: key heads are shared, and keys are never split."""


class VarlenAttention:
    """One flash-attention call for the whole forward, over keys and values gathered by two index copies.

    kernel: what `torch.nn.attention.varlen.varlen_attn` does; that one by default.

    Its parameters have grown: PyTorch 2.11 has neither `enable_gqa` (its kernel always shares key heads) nor
    `num_splits` (see `check_invariant`).
    """

    def __init__(self, segments: Sequence[Segment], device: torch.device, kernel: Kernel | None = None) -> None:
        self._kernel = kernel or _flash_kernel()
        self._extras = {name: value for name, value in EXTRAS.items() if name in signature(self._kernel).parameters}
        lengths = [segment.depth + segment.stop - segment.start for segment in segments]
        counts = [segment.stop - segment.start for segment in segments]
        self._query_ends = _offsets(counts, device)
        self._key_ends = _offsets(lengths, device)
        self._longest = max(counts), max(lengths)
        self._context = sum(lengths)
        self._rows = sum(counts)
        sources = _sources(segments, lengths)
        self._slots, self._slot_places, self._fresh, self._fresh_places = (
            torch.from_numpy(source).to(device) for source in sources
        )

    def __call__(
        self, query_THE: torch.Tensor, fresh: KeysValues, past: KeysValues | None, window: int | None
    ) -> torch.Tensor:
        attended = self._kernel(
            query_THE[: self._rows],
            self._gather(fresh[0], past and past[0]),
            self._gather(fresh[1], past and past[1]),
            self._query_ends,
            self._key_ends,
            *self._longest,
            window_size=(-1 if window is None else window - 1, 0),
            **self._extras,
        )
        return functional.pad(attended, (0, 0, 0, 0, 0, query_THE.shape[0] - self._rows))

    def _gather(self, fresh_TGE: torch.Tensor, past: torch.Tensor | None) -> torch.Tensor:
        gathered = fresh_TGE.new_empty((self._context, *fresh_TGE.shape[1:]))
        gathered.index_copy_(0, self._fresh_places, fresh_TGE.index_select(0, self._fresh))
        if past is not None and len(self._slots):
            gathered.index_copy_(0, self._slot_places, past.index_select(0, self._slots))
        return gathered


def has_flash(device: torch.device) -> bool:
    """Flash attention runs on GPUs from Ampere on."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


def check_invariant(device: torch.device, dtype: torch.dtype, kernel: Kernel | None = None) -> None:
    """Raises UnsupportedByEngine if the kernel might split keys by the batch's longest sequence."""
    if device.type != "cuda" or dtype == torch.float32:
        return
    if "num_splits" not in signature(kernel or _flash_kernel()).parameters:
        raise UnsupportedByEngine(
            f"flash attention of PyTorch {torch.__version__} has no num_splits, so mode invariant is impossible; "
            "install a newer PyTorch, or choose mode fast",
            engine="torch",
        )


def _flash_kernel() -> Kernel:
    from torch.nn.attention import varlen  # only when it is used: it needs a GPU

    return cast("Kernel", varlen.varlen_attn)


def _offsets(lengths: Sequence[int], device: torch.device) -> torch.Tensor:
    return torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32, device=device)


def _sources(segments: Sequence[Segment], lengths: Sequence[int]) -> tuple[Indices, Indices, Indices, Indices]:
    """Slots and their places in the gathered context, then fresh rows and theirs."""
    slots = np.concatenate([segment.slots for segment in segments])
    fresh = np.concatenate([np.arange(*bounds) for segment in segments for bounds in segment.context])
    cached = np.concatenate(
        [np.arange(length) < len(segment.slots) for segment, length in zip(segments, lengths, strict=True)]
    )
    places = np.arange(len(cached))
    return slots, places[cached], fresh, places[~cached]
