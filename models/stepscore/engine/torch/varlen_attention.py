"""Causal attention of all segments in one flash-attention call, on CUDA in 16-bit numbers.

Shapes: T rows of the forward, H query heads, G key heads, E head width, S slots of the pool, L tokens of all contexts.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import cast

import torch
from torch.nn import functional
from torch.nn.attention import current_flash_attention_impl

from stepscore.engine.torch.inputs import ForwardInputs
from stepscore.errors import UnsupportedByEngine

Kernel = Callable[..., torch.Tensor]
EXTRAS = {"enable_gqa": True, "num_splits": 1}
"""Passed to kernels that accept them: key heads are shared, and keys are never split."""


class VarlenAttention:
    """One flash-attention call for the whole forward.

    All rows are written to the pool, scratch slots included, and the context of all segments is gathered from it at
    once. kernel: what `torch.nn.attention.varlen.varlen_attn` does; that one by default.

    Its parameters have grown: PyTorch 2.11 has neither `enable_gqa` (its kernel always shares key heads) nor
    `num_splits` (its kernel never splits keys; see `check_invariant`).
    """

    def __init__(self, inputs: ForwardInputs, kernel: Kernel | None = None) -> None:
        self._inputs = inputs
        self._kernel = kernel or flash_kernel()
        self._extras = {name: value for name, value in EXTRAS.items() if name in signature(self._kernel).parameters}
        self._rows = len(inputs.packed.ids)

    def __call__(
        self,
        query_THE: torch.Tensor,
        key_TGE: torch.Tensor,
        value_TGE: torch.Tensor,
        pool_S2GE: torch.Tensor,
        window: int | None,
    ) -> torch.Tensor:
        inputs = self._inputs
        pool_S2GE[:, 0].index_copy_(0, inputs.write, key_TGE)
        pool_S2GE[:, 1].index_copy_(0, inputs.write, value_TGE)
        context_L2GE = pool_S2GE.index_select(0, inputs.context)
        attended = self._kernel(
            query_THE[: self._rows],
            context_L2GE[:, 0],
            context_L2GE[:, 1],
            inputs.query_ends,
            inputs.key_ends,
            inputs.longest_query,
            inputs.longest_key,
            window_size=(-1 if window is None else window - 1, 0),
            **self._extras,
        )
        missing = len(query_THE) - self._rows
        return functional.pad(attended, (0, 0, 0, 0, 0, missing)) if missing else attended


def has_flash(device: torch.device, dtype: torch.dtype) -> bool:
    """Flash attention runs in 16-bit numbers on GPUs from Ampere on; `meta` counts as such a GPU."""
    if dtype not in (torch.bfloat16, torch.float16):
        return False
    return device.type == "meta" or (device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0))


def check_invariant(device: torch.device, dtype: torch.dtype, kernel: Kernel | None = None) -> None:
    """Raises UnsupportedByEngine if the kernel might split keys by the batch's longest sequence.

    PyTorch's own kernel never does so with keys that are not in pages. Another that was activated in its place has to
    be told by `num_splits`.
    """
    if device.type != "cuda" or dtype == torch.float32:
        return
    other = current_flash_attention_impl()
    if other is not None and "num_splits" not in signature(kernel or flash_kernel()).parameters:
        raise UnsupportedByEngine(
            f"mode invariant is impossible with the flash attention {other}: varlen_attn of PyTorch "
            f"{torch.__version__} has no num_splits, so {other} may split keys; do not activate {other}, install "
            "PyTorch 2.12 or later, or choose mode fast",
            engine="torch",
        )


def flash_kernel() -> Kernel:
    from torch.nn.attention import varlen  # only when it is used: it needs a GPU

    return cast("Kernel", varlen.varlen_attn)
