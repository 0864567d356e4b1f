"""Sampling in process with vLLM (optional extra `vllm`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vllm import LLM, SamplingParams
from vllm.platforms import current_platform

from stepscore.errors import GeneratorError
from stepscore.generate.context import CONTEXT, is_context
from stepscore.generate.protocol import Completion, GeneratorInfo, Request, SampledToken, Sampling

_BATCHED_TOKENS = 4096
"""vLLM's own default on a CPU: tokens of one of its steps."""


class VllmGenerator:
    """A causal language model run by vLLM. options: passed to `vllm.LLM`, `max_model_len` among them."""

    def __init__(self, path: str, **options: Any) -> None:
        self._llm = LLM(model=path, trust_remote_code=False, **options, **_prefill(options["max_model_len"]))
        config = self._llm.llm_engine.model_config
        dtype = str(config.dtype).removeprefix("torch.")
        self._info = GeneratorInfo("vllm", "vllm", dtype, int(config.max_model_len))
        self._tokens = 0

    @property
    def info(self) -> GeneratorInfo:
        return self._info

    @property
    def tokens(self) -> int:
        return self._tokens

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        prompts = [_prompt(request.prompt) for request in requests]
        answers = self._run(prompts, [_parameters(request.sampling) for request in requests])
        return [tuple(_completion(output) for output in answer.outputs) for answer in answers]

    def continuations(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        parameters = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        answers = self._run([_prompt(prompt + choice) for choice in choices], parameters)
        return [
            tuple(answer.prompt_logprobs[len(prompt) + place][token].logprob for place, token in enumerate(choice))
            for answer, choice in zip(answers, choices, strict=True)
        ]

    def close(self) -> None:
        del self._llm

    def _run(self, prompts: Sequence[Any], parameters: Any) -> list[Any]:
        try:
            answers = self._llm.generate(prompts, parameters, use_tqdm=False)
        except (RuntimeError, ValueError) as error:
            reason = CONTEXT if is_context(str(error)) else str(error)
            raise GeneratorError(f"vLLM could not sample: {error}", reason=reason) from error
        read = sum(len(answer.prompt_token_ids) for answer in answers)
        self._tokens += read + sum(len(output.token_ids) for answer in answers for output in answer.outputs)
        return list(answers)


def _prefill(max_tokens: int) -> dict[str, Any]:
    """On a CPU prompts are read whole: vLLM 0.32 dies there of a seeded request whose prompt it reads in parts."""
    if not current_platform.is_cpu():
        return {}
    return {"enable_chunked_prefill": False, "max_num_batched_tokens": max(max_tokens, _BATCHED_TOKENS)}


def _prompt(prompt: str | tuple[int, ...]) -> Any:
    return prompt if isinstance(prompt, str) else {"prompt_token_ids": list(prompt)}


def _parameters(sampling: Sampling) -> Any:
    return SamplingParams(
        n=sampling.n,
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k or -1,
        stop=list(sampling.stop),
        include_stop_str_in_output=sampling.keep_stop,
        seed=sampling.seed,
        logprobs=sampling.top_logprobs,
    )


def _completion(output: Any) -> Completion:
    tokens = tuple(_token(token, place) for token, place in zip(output.token_ids, output.logprobs or (), strict=False))
    return Completion(output.text, "length" if output.finish_reason == "length" else "stop", tokens)


def _token(token: int, place: Any) -> SampledToken:
    top = {entry.decoded_token: entry.logprob for entry in place.values()}
    return SampledToken(place[token].decoded_token, place[token].logprob, top)
