"""Attention of padded batches on a CPU, without a copy of every key for each query head that reads it.

transformers repeats the keys of grouped heads whenever there is a mask (`use_gqa_in_sdpa`), because the masked kernels
of CUDA cannot share them. The CPU's kernel can.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "stepscore_grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' `sdpa_attention_forward`, with keys shared by the query heads of a group under a mask as well."""
    if attention_mask is None or query.shape[1] == key.shape[1]:
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
        return plain
    answer = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, enable_gqa=True
    )
    return answer.transpose(1, 2).contiguous(), None


def share_grouped_keys(model: Any) -> None:
    """Use it for a model on a CPU whose attention is torch's own; every other model stays as it is."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, grouped_attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)
