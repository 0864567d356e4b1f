"""vLLM in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.errors import CheckpointError, EngineError
from stepscore.family.heads import Head, LinearHead, TokenLogProbHead, VocabularyHead
from stepscore.types import Ids, Values

VLLM_LOGPROBS = 20
"""How many log-probabilities of one place vLLM gives unless it is told to give more."""


class VllmProcess:
    """vLLM's LLM object: a pooling runner for class heads, a generating one for log-probabilities.

    Pooling is of type ALL and rows are picked by read position, so that no step tag can be wrong.
    max_tokens: longest sequence, what is generated included.
    """

    def __init__(self, facts: CheckpointFacts, head: Head, options: EngineOptions, max_tokens: int) -> None:
        self._vllm = _vllm()
        self._llm = self._vllm.LLM(**llm_settings(facts, head, options, max_tokens))

    @property
    def max_tokens(self) -> int:
        return int(self._llm.llm_engine.model_config.max_model_len)

    @property
    def dtype(self) -> str:
        return str(self._llm.llm_engine.model_config.dtype).removeprefix("torch.")

    def pool(self, sequences: Sequence[Ids]) -> list[Values]:
        parameters = self._vllm.PoolingParams(use_activation=False)
        outputs = self._run(
            lambda prompts: self._llm.encode(
                prompts, pooling_params=parameters, pooling_task="token_classify", use_tqdm=False
            ),
            sequences,
        )
        return [np.asarray(output.outputs.data.float().cpu().numpy()) for output in outputs]

    def next_token(self, prefixes: Sequence[Ids], candidates: Ids) -> list[Values]:
        parameters = self._vllm.SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprobs=len(candidates),
            logprob_token_ids=list(candidates),
            detokenize=False,
        )
        outputs = self._run(lambda prompts: self._llm.generate(prompts, parameters, use_tqdm=False), prefixes)
        return [
            np.array([output.outputs[0].logprobs[0][token].logprob for token in candidates], dtype=np.float32)
            for output in outputs
        ]

    def prompt_logprobs(self, sequences: Sequence[Ids]) -> list[Values]:
        parameters = self._vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        outputs = self._run(lambda prompts: self._llm.generate(prompts, parameters, use_tqdm=False), sequences)
        return [
            np.array(
                [place[token].logprob for place, token in zip(output.prompt_logprobs[1:], ids[1:], strict=True)],
                dtype=np.float32,
            )
            for output, ids in zip(outputs, sequences, strict=True)
        ]

    def close(self) -> None:
        del self._llm

    def _run(self, call: Any, sequences: Sequence[Ids]) -> list[Any]:
        try:
            return list(call([{"prompt_token_ids": list(ids)} for ids in sequences]))
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"vLLM failed: {error}", sequences=len(sequences)) from error


def candidates_of(head: Head) -> Ids:
    """Tokens whose probabilities are asked for at one place."""
    match head:
        case VocabularyHead(candidates) | TokenLogProbHead(beside=candidates):
            return candidates
    return ()


def llm_settings(facts: CheckpointFacts, head: Head, options: EngineOptions, max_tokens: int) -> dict[str, Any]:
    """What vLLM's LLM object is opened with."""
    settings: dict[str, Any] = {
        "model": str(facts.path),
        "dtype": options.dtype,
        "max_model_len": max_tokens,
        "tensor_parallel_size": options.tensor_parallel_size,
        "enforce_eager": not torch.cuda.is_available(),
    }
    if isinstance(head, LinearHead):
        settings |= {"runner": "pooling", "pooler_config": {"tok_pooling_type": "ALL"}}
    else:
        settings |= {"runner": "generate", "max_logprobs": max(VLLM_LOGPROBS, len(candidates_of(head)))}
    if options.max_batch_tokens:
        settings["max_num_batched_tokens"] = options.max_batch_tokens
    return settings


def _vllm() -> Any:
    try:
        import vllm
    except ImportError as error:
        raise CheckpointError(
            "the vllm engine needs vLLM in this environment (pip install 'stepscore[vllm]'), or a server's address: "
            "vllm:http://HOST:PORT",
            engine="vllm",
        ) from error
    return vllm
