"""Sampling in process with transformers.

What prompts begin with together is read once, in this call or an earlier one, and all completions of a call are then
sampled side by side; one that has ended leaves the batch. Shape suffixes: N completions still running, T tokens, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedTokenizerFast

from stepscore.errors import CheckpointError, GeneratorError
from stepscore.generate.attention import share_grouped_keys
from stepscore.generate.context import CONTEXT
from stepscore.generate.key_values import ReadPrompt, in_front, row_of, side_by_side
from stepscore.generate.prefixes import PrefixCache, waves
from stepscore.generate.protocol import Completion, GeneratorInfo, Prompt, Request
from stepscore.generate.writing import Writing, extend_all
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Ids

ROWS = 128
"""Completions that are sampled side by side; a request for more is still sampled in one go."""

PREFIX_BYTES = 2**30
"""Of the prompts that are kept for later calls."""


class TransformersGenerator:
    """A causal language model of transformers."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._ends = _end_tokens(model, tokenizer)
        self._tokens = 0
        self._prefixes = PrefixCache(PREFIX_BYTES)
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
        finally:
            self._prefixes.trim()

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
        prompts = self._read(ids)
        writings = [
            [
                Writing(self._tokenizer, each, min(request.sampling.max_tokens, room), request.sampling, n)
                for n in range(request.sampling.n)
            ]
            for request, each, room in zip(requests, ids, rooms, strict=True)
        ]
        self._write(prompts, writings)
        return (tuple(writing.completion() for writing in of_prompt) for of_prompt in writings)

    def _read(self, prompts: Sequence[Ids]) -> list[ReadPrompt]:
        """Each prompt after its forward."""
        for wave in waves(prompts):
            new = [ids for ids in wave if self._prefixes.get(ids) is None]
            new.sort(key=len)
            for start in range(0, len(new), ROWS):
                self._read_side_by_side(new[start : start + ROWS])
        return [read for ids in prompts if (read := self._prefixes.get(ids))]

    def _read_side_by_side(self, prompts: Sequence[Ids]) -> None:
        """Forward what is not known of each prompt, and keep it. Rows are padded between their known and new tokens."""
        known = [self._prefixes.longest(ids) for ids in prompts]
        begun = [0 if each is None else len(each.ids) for each in known]
        new = [ids[start:] for ids, start in zip(prompts, begun, strict=True)]
        longest = max(map(len, new))
        cache, mask_NT = self._caches(known)
        mask_NT = torch.cat([mask_NT, in_front(longest, list(map(len, new)))], dim=1)
        rows = [(0,) * (longest - len(each)) + each for each in new]
        logits_NV = self._forward(rows, 1, cache, mask_NT)[:, -1]
        for row, ids in enumerate(prompts):
            self._prefixes.add(ReadPrompt(ids, row_of(cache, row, mask_NT[row].bool()), logits_NV[row].clone()))

    def _caches(self, known: Sequence[ReadPrompt | None]) -> tuple[DynamicCache, torch.Tensor]:
        """What is known of each prompt side by side, and its mask (N, T)."""
        some = next((each for each in known if each is not None), None)
        if some is None:
            return DynamicCache(), torch.zeros(len(known), 0, dtype=torch.long)
        return side_by_side([some.until(0) if each is None else each for each in known], [1] * len(known))

    def _write(self, prompts: Sequence[ReadPrompt], writings: Sequence[Sequence[Writing]]) -> None:
        """Sample until every completion has ended."""
        copies = [len(of_prompt) for of_prompt in writings]
        cache, mask_NT = side_by_side(prompts, copies)
        running = [writing for of_prompt in writings for writing in of_prompt]
        pairs = zip(prompts, copies, strict=True)
        logits_NV = torch.cat([prompt.logits.expand(n, -1) for prompt, n in pairs if prompt.logits is not None])
        while True:
            extend_all(running, logits_NV, self._ends)
            self._keep_steps(running, cache, mask_NT)
            going = [row for row, writing in enumerate(running) if not writing.ended]
            if not going:
                return
            if len(going) < len(running):
                cache.batch_select_indices(torch.tensor(going, device=self._model.device))
                running, mask_NT = [running[row] for row in going], mask_NT[going]
            mask_NT = torch.nn.functional.pad(mask_NT, (0, 1), value=1)
            logits_NV = self._forward([(writing.ids[-1],) for writing in running], 1, cache, mask_NT)[:, -1]

    def _keep_steps(self, running: Sequence[Writing], cache: DynamicCache, mask_NT: torch.Tensor) -> None:
        """Keep what a stop text has ended: a caller that stops at steps continues them."""
        for row, writing in enumerate(running):
            if writing.ended and writing.may_continue:
                ids = (writing.prompt + tuple(writing.ids))[: int(mask_NT[row].sum())]
                self._prefixes.add(ReadPrompt(ids, row_of(cache, row, mask_NT[row].bool())))

    def _forward(
        self,
        rows: Sequence[Ids],
        keep: int,
        cache: DynamicCache | None = None,
        mask_NT: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(rows, keep, V) fp32 logits of the last `keep` tokens. mask_NT: all tokens so far, 0 at padding."""
        ids = torch.tensor(rows, device=self._model.device)
        self._tokens += ids.numel() if mask_NT is None else int(mask_NT[:, -ids.shape[1] :].sum())
        padded = mask_NT is not None and not bool(mask_NT.all())
        places = {} if mask_NT is None else {"position_ids": _positions(mask_NT, ids.shape[1]).to(ids.device)}
        if mask_NT is not None and padded:
            places["attention_mask"] = mask_NT.to(ids.device)
        answer = self._model(
            input_ids=ids, past_key_values=cache, use_cache=cache is not None, logits_to_keep=keep, **places
        )
        logits: torch.Tensor = answer.logits.float()
        return logits

    def _room(self, tokens: int, needed: int) -> int:
        """Tokens that the context still has. Raises GeneratorError if that is less than needed."""
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


def _positions(mask_NT: torch.Tensor, new: int) -> torch.Tensor:
    """The places of the last `new` tokens of each row among its real ones."""
    return (mask_NT.cumsum(-1)[:, -new:] - 1).clamp(min=0)


def _end_tokens(model: Any, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    named = model.generation_config.eos_token_id
    listed = named if isinstance(named, list) else [named]
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if token is not None)


def open_transformers(path: Path, device: torch.device, dtype: torch.dtype, max_tokens: int) -> TransformersGenerator:
    """Load the causal language model in a folder. Raises CheckpointError if it is not whole."""
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, trust_remote_code=False, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is not a causal language model: {error}", path=str(path)) from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(f"{path} lacks the tensors {', '.join(missing[:5])}", path=str(path), missing=missing)
    model = model.eval().to(device)
    share_grouped_keys(model)
    return TransformersGenerator(model, StepTokenizer.open(str(path)).inner, max_tokens)
