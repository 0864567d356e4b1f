"""Sampling in process with transformers.

What prompts begin with together is read once, and all completions of a call are then sampled side by side; one that
has ended leaves the batch. Shape suffixes: N completions still running, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedTokenizerFast

from stepscore.errors import CheckpointError, GeneratorError
from stepscore.generate.context import CONTEXT
from stepscore.generate.key_values import ReadPrompt, layers_of, side_by_side
from stepscore.generate.protocol import Completion, GeneratorInfo, Prompt, Request
from stepscore.generate.writing import Writing, extend_all
from stepscore.text.tokenizer import StepTokenizer

ROWS = 64
"""Completions that are sampled side by side; a request for more is still sampled in one go."""

Ids = tuple[int, ...]


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
            return [answer for part in _parts(requests) for answer in self._together(part)]
        except RuntimeError as error:
            raise GeneratorError(f"sampling failed: {error}", reason=str(error)) from error

    @torch.inference_mode()
    def continuations(self, prompt: Ids, choices: Sequence[Ids]) -> list[tuple[float, ...]]:
        try:
            return self._continuations(prompt, choices)
        except RuntimeError as error:
            raise GeneratorError(f"scoring a choice failed: {error}", reason=str(error)) from error

    def close(self) -> None:
        self._model = None

    def _continuations(self, prompt: Ids, choices: Sequence[Ids]) -> list[tuple[float, ...]]:
        longest = len(prompt) + max(map(len, choices)) - 1
        self._room(longest, 0)
        if all(len(choice) == 1 for choice in choices):
            next_V = self._forward([prompt], keep=1)[0, -1].log_softmax(-1)
            return [(float(next_V[choice[0]]),) for choice in choices]
        return [self._choice(prompt, choice) for choice in choices]

    def _choice(self, prompt: Ids, choice: Ids) -> tuple[float, ...]:
        logits_TV = self._forward([prompt + choice[:-1]], keep=len(choice))[0]
        logprobs_TV = logits_TV.log_softmax(-1)
        return tuple(float(logprobs_TV[place, token]) for place, token in enumerate(choice))

    def _together(self, requests: Sequence[Request]) -> Iterator[tuple[Completion, ...]]:
        ids = [self._ids(request.prompt) for request in requests]
        rooms = [self._room(len(each), 1) for each in ids]
        read = self._read(ids)
        prompts = [read[each] for each in ids]
        writings = [
            [
                Writing(self._tokenizer, prompt.ids[-1], min(request.sampling.max_tokens, room), request.sampling, n)
                for n in range(request.sampling.n)
            ]
            for request, prompt, room in zip(requests, prompts, rooms, strict=True)
        ]
        self._write(prompts, writings)
        return (tuple(writing.completion() for writing in of_prompt) for of_prompt in writings)

    def _read(self, prompts: Sequence[Ids]) -> dict[Ids, ReadPrompt]:
        """Forward each distinct prompt behind what it shares with the one before it in order."""
        read: dict[Ids, ReadPrompt] = {}
        before: Ids = ()
        cache = DynamicCache()
        for ids in sorted(set(prompts)):
            shared = min(_common(before, ids), len(ids) - 1)
            if shared < len(before):
                cache.crop(shared - len(before))
            logits_V = self._forward([ids[shared:]], keep=1, cache=cache)[0, -1]
            read[ids] = ReadPrompt(ids, logits_V, layers_of(cache))
            before = ids
        return read

    def _write(self, prompts: Sequence[ReadPrompt], writings: Sequence[Sequence[Writing]]) -> None:
        """Sample until every completion has ended."""
        copies = [len(of_prompt) for of_prompt in writings]
        cache, mask_NT = side_by_side(prompts, copies)
        running = [writing for of_prompt in writings for writing in of_prompt]
        pairs = zip(prompts, copies, strict=True)
        logits_NV = torch.cat([prompt.logits.expand(n, -1) for prompt, n in pairs])
        while True:
            extend_all(running, logits_NV, self._ends)
            going = [row for row, writing in enumerate(running) if not writing.ended]
            if not going:
                return
            if len(going) < len(running):
                cache.batch_select_indices(torch.tensor(going, device=self._model.device))
                running, mask_NT = [running[row] for row in going], mask_NT[going]
            mask_NT = torch.nn.functional.pad(mask_NT, (0, 1), value=1)
            logits_NV = self._forward([(writing.ids[-1],) for writing in running], 1, cache, mask_NT)[:, -1]

    def _forward(
        self,
        rows: Sequence[Ids],
        keep: int,
        cache: DynamicCache | None = None,
        mask_NT: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(rows, keep, V) fp32 logits of the last `keep` tokens. mask_NT: all tokens so far, 0 at padding."""
        ids = torch.tensor(rows, device=self._model.device)
        self._tokens += ids.numel()
        padded = mask_NT is not None and not bool(mask_NT.all())
        places = {"position_ids": mask_NT.sum(-1, keepdim=True).to(ids.device) - 1} if mask_NT is not None else {}
        if mask_NT is not None and padded:
            places["attention_mask"] = mask_NT.to(ids.device)
        answer = self._model(
            input_ids=ids, past_key_values=cache, use_cache=cache is not None, logits_to_keep=keep, **places
        )
        logits: torch.Tensor = answer.logits.float()
        return logits

    def _room(self, tokens: int, needed: int) -> int:
        """Tokens that the context still has. Raises GeneratorError where that is less than needed."""
        room = self._info.max_tokens - tokens
        if room < needed:
            raise GeneratorError(
                f"{tokens} tokens fill the model's context of {self._info.max_tokens}", reason=CONTEXT, tokens=tokens
            )
        return room

    def _ids(self, prompt: Prompt) -> Ids:
        return tuple(self._tokenizer(prompt)["input_ids"]) if isinstance(prompt, str) else prompt


def _parts(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """Consecutive requests of at most ROWS completions together."""
    part: list[Request] = []
    for request in requests:
        if part and sum(each.sampling.n for each in part) + request.sampling.n > ROWS:
            yield part
            part = []
        part.append(request)
    if part:
        yield part


def _common(one: Ids, other: Ids) -> int:
    """How many ids two prompts share at their start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


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
