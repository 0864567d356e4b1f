"""Completions while they are written, for generators that sample token by token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerFast

from stepscore.generate.protocol import Completion, SampledToken, Sampling
from stepscore.generate.sampling import Sampler, pick_all
from stepscore.generate.stopping import cut, first_stop

_SLACK = 4
"""Tokens beyond a stop text's bytes that are decoded to find it: its ends may lie inside tokens."""


class Writing:
    """One completion. prompt: at least one id. room: tokens that it may have. number: among its prompt's."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, prompt: tuple[int, ...], room: int, sampling: Sampling, number: int
    ) -> None:
        self.prompt = prompt
        self.ids: list[int] = []
        self.ended = False
        self.sampler = Sampler(sampling, number)
        self._tokenizer = tokenizer
        self._anchor = prompt[-1]
        self._room = room
        self._sampling = sampling
        self._window = max((len(stop.encode()) for stop in sampling.stop), default=0) + _SLACK
        self._tokens: list[SampledToken] = []
        self._finished = False

    @property
    def may_continue(self) -> bool:
        """Whether a stop text ended it, and not the end of the sequence."""
        return self._finished and bool(self._sampling.stop) and self._stops()

    def extend(self, token: int, logits_V: torch.Tensor, total: float, ends: frozenset[int]) -> None:
        """Take the next token. logits_V: the model's own at its place. total: the logarithm of their sum of exps."""
        if token in ends:
            self.ended = self._finished = True
            return
        self.ids.append(token)
        top = self._top(logits_V, total) if self._sampling.top_logprobs else {}
        self._tokens.append(SampledToken(self._decode([token]), float(logits_V[token]) - total, top))
        self._finished = bool(self._sampling.stop) and self._stops()
        self.ended = self._finished or len(self.ids) >= self._room

    def completion(self) -> Completion:
        text, _ = cut(self._text(self.ids), self._sampling.stop, keep=self._sampling.keep_stop)
        return Completion(text, "stop" if self._finished else "length", tuple(self._tokens))

    def _stops(self) -> bool:
        """The tail is looked at first: decoding everything at every token would be quadratic."""
        stops = self._sampling.stop
        return bool(
            first_stop(self._text(self.ids[-self._window :]), stops) and first_stop(self._text(self.ids), stops)
        )

    def _text(self, ids: list[int]) -> str:
        """The text of ids after the prompt's last token: a tokenizer may drop the space that opens a text."""
        before, whole = self._decode([self._anchor]), self._decode([self._anchor, *ids])
        return whole[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _top(self, logits_V: torch.Tensor, total: float) -> dict[str, float]:
        likeliest = logits_V.topk(min(self._sampling.top_logprobs, logits_V.numel()))
        pairs = list(zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True))
        # Pieces of characters decode to the same text: the likeliest of them, put in last, is the one that stays.
        return {self._decode([likely]): logit - total for likely, logit in reversed(pairs)}


def extend_all(writings: Sequence[Writing], logits_NV: torch.Tensor, ends: frozenset[int]) -> None:
    """The next token of every completion. N: completions, V: vocabulary."""
    tokens = pick_all(logits_NV, [writing.sampler for writing in writings])
    totals = logits_NV.logsumexp(-1).tolist()
    for writing, token, logits_V, total in zip(writings, tokens, logits_NV, totals, strict=True):
        writing.extend(token, logits_V, total, ends)
