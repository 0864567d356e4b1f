"""Sampling in process with transformers.

A prompt is read once; its completions are then sampled side by side, and one that has ended leaves the batch.
Shape suffixes: N completions still running, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedTokenizerFast

from stepscore.errors import CheckpointError, GeneratorError
from stepscore.generate.base import Completion, GeneratorInfo, Prompt, Request, SampledToken, Sampling
from stepscore.generate.sampling import Sampler
from stepscore.generate.stopping import cut, first_stop
from stepscore.tokenizer import StepTokenizer

_SLACK = 4
"""Tokens beyond a stop text's bytes that are decoded to find it: its ends may lie inside tokens."""


class TransformersGenerator:
    """A causal language model of transformers."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._ends = _end_tokens(model, tokenizer)
        self._tokens = 0
        dtype = str(model.dtype).removeprefix("torch.")
        self._info = GeneratorInfo("transformers", str(model.device), dtype, max_tokens)

    @property
    def info(self) -> GeneratorInfo:
        return self._info

    @property
    def tokens(self) -> int:
        return self._tokens

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        try:
            return [self._complete(self._ids(request.prompt), request.sampling) for request in requests]
        except RuntimeError as error:
            raise GeneratorError(f"sampling failed: {error}", reason=str(error)) from error

    @torch.inference_mode()
    def continuations(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        try:
            return self._continuations(prompt, choices)
        except RuntimeError as error:
            raise GeneratorError(f"scoring a choice failed: {error}", reason=str(error)) from error

    def close(self) -> None:
        self._model = None

    def _continuations(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        longest = len(prompt) + max(map(len, choices)) - 1
        self._room(longest, 0)
        if all(len(choice) == 1 for choice in choices):
            next_V = self._forward([prompt], keep=1)[0, -1].log_softmax(-1)
            return [(float(next_V[choice[0]]),) for choice in choices]
        return [self._choice(prompt, choice) for choice in choices]

    def _choice(self, prompt: tuple[int, ...], choice: tuple[int, ...]) -> tuple[float, ...]:
        logits_TV = self._forward([prompt + choice[:-1]], keep=len(choice))[0]
        logprobs_TV = logits_TV.log_softmax(-1)
        return tuple(float(logprobs_TV[place, token]) for place, token in enumerate(choice))

    def _complete(self, prompt: tuple[int, ...], sampling: Sampling) -> tuple[Completion, ...]:
        budget = min(sampling.max_tokens, self._room(len(prompt), 1))
        cache = DynamicCache()
        logits_NV = self._forward([prompt], keep=1, cache=cache)[:, -1].expand(sampling.n, -1)
        cache.batch_repeat_interleave(sampling.n)
        samples = [_Sample(self._tokenizer, prompt[-1], sampling, number) for number in range(sampling.n)]
        running = samples
        while running:
            for sample, logits_V in zip(running, logits_NV, strict=True):
                sample.extend(logits_V, self._ends, budget)
            going = [row for row, sample in enumerate(running) if not sample.ended]
            if going and len(going) < len(running):
                cache.batch_select_indices(torch.tensor(going, device=self._model.device))
            running = [running[row] for row in going]
            if running:
                logits_NV = self._forward([(sample.ids[-1],) for sample in running], keep=1, cache=cache)[:, -1]
        return tuple(sample.completion() for sample in samples)

    def _forward(self, rows: Sequence[tuple[int, ...]], keep: int, cache: DynamicCache | None = None) -> torch.Tensor:
        """(rows, keep, V) fp32 logits of the last `keep` tokens."""
        ids = torch.tensor(rows, device=self._model.device)
        self._tokens += ids.numel()
        answer = self._model(input_ids=ids, past_key_values=cache, use_cache=cache is not None, logits_to_keep=keep)
        logits: torch.Tensor = answer.logits.float()
        return logits

    def _room(self, tokens: int, needed: int) -> int:
        """Tokens that the context still has. Raises GeneratorError where that is less than needed."""
        room = self._info.max_tokens - tokens
        if room < needed:
            raise GeneratorError(
                f"{tokens} tokens fill the model's context of {self._info.max_tokens}", reason="context", tokens=tokens
            )
        return room

    def _ids(self, prompt: Prompt) -> tuple[int, ...]:
        return tuple(self._tokenizer(prompt)["input_ids"]) if isinstance(prompt, str) else prompt


class _Sample:
    """One completion while it is written."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, anchor: int, sampling: Sampling, number: int) -> None:
        self.ids: list[int] = []
        self.ended = False
        self._tokenizer = tokenizer
        self._anchor = anchor
        self._sampling = sampling
        self._sampler = Sampler(sampling, number)
        self._window = max((len(stop.encode()) for stop in sampling.stop), default=0) + _SLACK
        self._tokens: list[SampledToken] = []
        self._finished = False

    def extend(self, logits_V: torch.Tensor, ends: frozenset[int], budget: int) -> None:
        token = self._sampler.pick(logits_V)
        if token in ends:
            self.ended = self._finished = True
            return
        self.ids.append(token)
        self._tokens.append(self._described(token, logits_V))
        self._finished = bool(self._sampling.stop) and self._stops()
        self.ended = self._finished or len(self.ids) >= budget

    def completion(self) -> Completion:
        text, stop = cut(self._text(self.ids), self._sampling.stop, keep=self._sampling.keep_stop)
        return Completion(text, "stop" if self._finished else "length", stop, tuple(self._tokens))

    def _stops(self) -> bool:
        """The tail is looked at first: decoding everything at every token would be quadratic."""
        stops = self._sampling.stop
        return bool(
            first_stop(self._text(self.ids[-self._window :]), stops) and first_stop(self._text(self.ids), stops)
        )

    def _text(self, ids: list[int]) -> str:
        """The text of ids behind the prompt's last token: a tokenizer may drop the space that opens a text."""
        before, whole = self._decode([self._anchor]), self._decode([self._anchor, *ids])
        return whole[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _described(self, token: int, logits_V: torch.Tensor) -> SampledToken:
        logprobs_V = logits_V.log_softmax(-1)
        likeliest = logprobs_V.topk(min(self._sampling.top_logprobs, logprobs_V.numel()))
        pairs = list(zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True))
        # Pieces of characters decode to the same text: the likeliest of them, put in last, is the one that stays.
        top = {self._decode([likely]): logprob for likely, logprob in reversed(pairs)}
        return SampledToken(self._decode([token]), float(logprobs_V[token]), top)


def _end_tokens(model: Any, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    named = model.generation_config.eos_token_id
    listed = named if isinstance(named, list) else [named]
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if token is not None)


def open_transformers(path: Path, device: torch.device, dtype: torch.dtype, max_tokens: int) -> TransformersGenerator:
    """Load the causal language model in a folder. Raises CheckpointError where it is not whole."""
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, trust_remote_code=False, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is no causal language model: {error}", path=str(path)) from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(f"{path} lacks the tensors {', '.join(missing[:5])}", path=str(path), missing=missing)
    return TransformersGenerator(model.eval().to(device), StepTokenizer.open(str(path)).inner, max_tokens)
