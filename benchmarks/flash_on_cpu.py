"""Flash attention on a CPU: the operator under torch's varlen_attn, slow, with the checks that its CUDA kernel makes.

Importing this module registers it for CPU tensors in this process; PyTorch has none of its own. For tests, and to try
`gpu_first` without a GPU.
"""

from __future__ import annotations

from typing import Any

import torch

CALLS: list[dict[str, object]] = []
"""What each call was given."""


def definition(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int | None) -> torch.Tensor:
    """Causal attention in fp64: rows are the last of the context, and see `window` positions, their own included."""
    count, length, share = len(query), len(key), query.shape[1] // key.shape[1]
    keys, values = (each.double().repeat_interleave(share, 1) for each in (key, value))
    scores = torch.einsum("ihe,jhe->hij", query.double(), keys) / query.shape[-1] ** 0.5
    rows, columns = torch.arange(length - count, length).unsqueeze(1), torch.arange(length)
    hidden = columns > rows
    if window is not None:
        hidden |= columns <= rows - window
    return torch.einsum("hij,jhe->ihe", scores.masked_fill(hidden, float("-inf")).softmax(-1), values)


def check(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    query_ends: torch.Tensor,
    key_ends: torch.Tensor,
    longest_query: int,
    longest_key: int,
) -> None:
    """As mha_varlen_fwd of flash_api.cpp refuses; and that lengths agree and maxima are bounds, which it trusts."""
    assert query.dtype == key.dtype == value.dtype
    assert query_ends.dtype == key_ends.dtype == torch.int32
    assert query_ends.is_contiguous()
    assert key_ends.is_contiguous()
    assert query.stride(-1) == key.stride(-1) == value.stride(-1) == 1
    assert query.shape[1] % key.shape[1] == 0
    assert query.shape[2] % 8 == 0
    assert query.shape[2] <= 256
    for each in (query, key, value):
        assert each.data_ptr() % 16 == 0
        assert all(each.stride(at) * each.element_size() % 16 == 0 for at in (0, 1))
    assert len(query_ends) == len(key_ends) > 1
    assert int(query_ends[-1]) == len(query)
    assert int(key_ends[-1]) == len(key) == len(value)
    assert (type(longest_query), type(longest_key)) == (int, int)
    assert longest_query >= int(query_ends.diff().max())
    assert longest_key >= int(key_ends.diff().max())
    assert int(query_ends.diff().min()) >= 0
    assert int(key_ends.diff().min()) >= 0


def flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    query_ends: torch.Tensor,
    key_ends: torch.Tensor,
    longest_query: int,
    longest_key: int,
    dropout: float,
    is_causal: bool,
    return_debug_mask: bool,
    *,
    window_size_left: int,
    window_size_right: int,
    num_splits: int | None = None,
    **unused: object,
) -> tuple[torch.Tensor, ...]:
    """(output, logsumexp, and three that nobody reads)."""
    check(query, key, value, query_ends, key_ends, longest_query, longest_key)
    assert not any(value is not None for value in unused.values()), unused
    assert (dropout, window_size_right) == (0.0, 0)
    assert is_causal == (window_size_left == -1)
    CALLS.append({"segments": len(query_ends) - 1, "window": window_size_left, "num_splits": num_splits})
    window = None if window_size_left < 0 else window_size_left + 1
    out = torch.empty_like(query)
    ends = zip(query_ends.tolist(), query_ends.tolist()[1:], key_ends.tolist(), key_ends.tolist()[1:], strict=False)
    for first, last, start, stop in ends:
        if last > first:
            out[first:last] = definition(query[first:last], key[start:stop], value[start:stop], window).to(query.dtype)
    logsumexp = query.new_empty((query.shape[1], len(query)), dtype=torch.float32)
    return out, logsumexp, query.new_empty(2, dtype=torch.uint64), query.new_empty(()), query.new_empty(0)


new_library: Any = torch.library.Library
_LIBRARY = new_library("aten", "IMPL")  # it lasts as long as this object
_LIBRARY.impl("_flash_attention_forward", flash, "CPU")
