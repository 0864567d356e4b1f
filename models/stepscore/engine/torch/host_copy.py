"""Numbers on their way from the device to the host."""

from __future__ import annotations

import torch

from stepscore.types import Values


class HostCopy:
    """A tensor that is being computed. On CUDA it is copied to pinned memory when it is ready, without a wait here."""

    def __init__(self, numbers: torch.Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._host = numbers
        if numbers.device.type == "cuda":
            self._host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            self._host.copy_(numbers, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def wait(self) -> Values:
        """The numbers, when they are there. Raises RuntimeError if the device failed on the way."""
        if self._event is not None:
            self._event.synchronize()
        values: Values = self._host.numpy()
        return values
