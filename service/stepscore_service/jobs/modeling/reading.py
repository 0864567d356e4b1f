"""A family's own reading as a layer, so that what is served is what is trained: log-probabilities in, log-odds out.

Only `number_logprob` needs one. Its formula stands in `stepscore.families.number_logprob`, in numpy; a test holds this
one to it. Shape suffixes: S read positions, N steps, V vocabulary, K tokens.
"""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import Tensor, nn

from stepscore.families.number_logprob import CONFIG_KEY, END_FLOOR, NumberCurve, Symbols

START = NumberCurve(slope=0.774, offset=2.632, wordy_slope=0.387, wordy_offset=4.321)
"""Fitted on a language model of worked solutions, with as many wrong steps as sound ones; trained with the rest."""


def entry(constants: NumberCurve = START) -> dict[str, dict[str, float]]:
    """What config.json says of a reading."""
    return {CONFIG_KEY: asdict(constants)}


class NumberReading(nn.Module):
    """The lowest log-probability among a step's numbers, as log-odds. constants: a Calibration's four, trained."""

    digits: Tensor
    signs: Tensor
    operations: Tensor

    def __init__(self, symbols: Symbols, start: NumberCurve) -> None:
        super().__init__()
        self.constants = nn.Parameter(torch.tensor([getattr(start, name) for name in NumberCurve.__slots__]))
        self.register_buffer("digits", torch.tensor(symbols.digits), persistent=False)
        self.register_buffer("signs", torch.tensor(symbols.signs), persistent=False)
        of_sign = [number for number, signs in enumerate(symbols.operations) for _ in signs]
        self.register_buffer("operations", torch.tensor(of_sign), persistent=False)

    def forward(self, events_S: Tensor, marks_N: Tensor) -> Tensor:
        """(N, 1), from `events`. marks: reads of each step, < 0 for wordy."""
        lowest_N = torch.stack([part.min() for part in torch.split(events_S, marks_N.abs().tolist())])
        slope, offset, wordy_slope, wordy_offset = self.constants
        numeric = marks_N > 0
        odds_N = torch.where(numeric, slope * lowest_N + offset, wordy_slope * lowest_N + wordy_offset)
        return odds_N[:, None]

    def config(self) -> dict[str, dict[str, float]]:
        """The entry of config.json that the family reads."""
        return entry(NumberCurve(*self.constants.tolist()))

    def events(self, logits_SV: Tensor, before_S: Tensor, targets_S: Tensor) -> Tensor:
        """Log-probabilities (S,). before: tokens at the reads; targets: those after them."""
        logprobs_SV = logits_SV.log_softmax(-1)
        own_S = logprobs_SV.gather(-1, targets_S[:, None]).squeeze(-1)
        digit_S = logprobs_SV[:, self.digits].logsumexp(-1)
        before, now = torch.isin(before_S, self.digits), torch.isin(targets_S, self.digits)
        end_S = (-torch.expm1(digit_S.clamp(max=0.0))).clamp(min=END_FLOOR).log()
        end_S = torch.minimum(end_S, self._operation(logprobs_SV, targets_S))
        return torch.where(now & ~before, own_S - digit_S, torch.where(before & ~now, end_S, own_S))

    def _operation(self, logprobs_SV: Tensor, targets_S: Tensor) -> Tensor:
        """(S,) log-probability of the target's operation given that a sign follows; 0 if the target is no sign."""
        is_sign_SK = targets_S[:, None] == self.signs
        signed_S = is_sign_SK.any(-1)
        operation_S = self.operations[is_sign_SK.int().argmax(-1)]
        signs_SK = logprobs_SV[:, self.signs]
        alike_SK = signs_SK.masked_fill(self.operations != operation_S[:, None], -torch.inf)
        return torch.where(signed_S, alike_SK.logsumexp(-1) - signs_SK.logsumexp(-1), torch.zeros_like(alike_SK[:, 0]))
