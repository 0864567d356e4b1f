"""vLLM in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.errors import CheckpointError, EngineError
from stepscore.heads import Head, VocabularyHead
from stepscore.types import Values

Ids = tuple[int, ...]


class VllmProcess:
    """vLLM's LLM object: a pooling runner for class heads, a generating one for vocabulary pairs.

    Pooling is of type ALL and rows are picked by read position, so that no step tag can be wrong.
    """

    def __init__(self, facts: CheckpointFacts, head: Head, options: EngineOptions) -> None:
        vllm = _vllm()
        self._vllm = vllm
        pooling = not isinstance(head, VocabularyHead)
        settings: dict[str, Any] = {"runner": "pooling" if pooling else "generate"}
        if pooling:
            settings["pooler_config"] = {"tok_pooling_type": "ALL"}
        if options.max_batch_tokens:
            settings["max_num_batched_tokens"] = options.max_batch_tokens
        self._llm = vllm.LLM(
            model=str(facts.path),
            dtype=options.dtype,
            max_model_len=options.max_tokens or facts.max_tokens,
            enforce_eager=True,
            **settings,
        )

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

    def close(self) -> None:
        del self._llm

    def _run(self, call: Any, sequences: Sequence[Ids]) -> list[Any]:
        try:
            return list(call([{"prompt_token_ids": list(ids)} for ids in sequences]))
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"vLLM failed: {error}", sequences=len(sequences)) from error


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
