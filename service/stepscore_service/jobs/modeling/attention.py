"""Attention's kernels in training."""

from __future__ import annotations

import torch


def avoid_cudnn_attention() -> None:
    """From now on attention on a GPU runs in PyTorch's other kernels.

    On H100 and H200, cuDNN's gives gradients that are not numbers if there is a mask and the longest row has 64 tokens
    more than a multiple of 128 (pytorch#196678). Qwen2.5-0.5B meets that within a hundred steps.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
