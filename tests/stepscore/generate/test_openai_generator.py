"""Sampling over HTTP, against a real server on a free port that samples from the same tiny model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import checkpoints_causal
import checkpoints_judges
from completions_server import Answer, Server
from stepscore.config import EngineOptions
from stepscore.errors import CheckpointError, GeneratorDead, GeneratorError
from stepscore.generate.open import open_generator
from stepscore.generate.openai import OpenAIGenerator
from stepscore.generate.protocol import Completion, Generator, Request, Sampling
from stepscore.generate.stopping import first_stop
from stepscore.generate.transformers import open_transformers
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading, Solution

CPU = torch.device("cpu")
PROMPT = tuple(range(40, 70))


def completions_of(model: Generator) -> Answer:
    """What vLLM answers: the stop text left out of the text, the prompt's tokens in front with `echo`."""

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        prompt = tuple(body["prompt"])
        if body.get("echo"):
            (pairs,) = model.continuations(prompt[:1], [prompt[1:]])
            numbers = [None, *pairs, -0.5]
            return 200, {"choices": [{"index": 0, "text": "", "logprobs": {"token_logprobs": numbers}}]}
        sampling = Sampling(
            n=body["n"],
            max_tokens=body["max_tokens"],
            temperature=body["temperature"],
            top_p=body["top_p"],
            top_k=body.get("top_k", 0),
            stop=tuple(body.get("stop", ())),
            seed=body.get("seed"),
            top_logprobs=body["logprobs"],
        )
        (completions,) = model.generate([Request(prompt, sampling)])
        choices = [choice_of(index, one, sampling.stop) for index, one in reversed(list(enumerate(completions)))]
        return 200, {"choices": choices, "usage": {"total_tokens": len(prompt) + 7}}

    return answer


def choice_of(index: int, completion: Completion, stops: Sequence[str]) -> dict[str, Any]:
    tokens = completion.tokens
    met = first_stop("".join(token.text for token in tokens), stops)
    return {
        "index": index,
        "text": completion.text,
        "finish_reason": completion.stop_reason,
        "stop_reason": met[1] if met else None,
        "logprobs": {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [dict(token.top) for token in tokens],
        },
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints_judges.judge(tmp_path_factory.mktemp("openai") / "ThinkPRM-tiny")


@pytest.fixture(scope="module")
def local(folder: Path) -> Generator:
    return open_transformers(folder, CPU, torch.float32, max_tokens=4096)


@pytest.fixture(scope="module")
def server(local: Generator) -> Iterator[Server]:
    running = Server(completions_of(local))
    yield running
    running.close()


@pytest.fixture
def remote(server: Server) -> Iterator[OpenAIGenerator]:
    generator = OpenAIGenerator(server.url, "tiny", max_tokens=4096, api_key="word", retries=0)
    yield generator
    generator.close()


def test_http_changes_nothing(remote: OpenAIGenerator, local: Generator, server: Server) -> None:
    greedy = Sampling(max_tokens=16, temperature=0.0, top_logprobs=3)
    stop = local.generate([Request(PROMPT, greedy)])[0][0].text[5:8]
    requests = [
        Request(PROMPT, greedy),
        Request(PROMPT, replace(greedy, n=3, temperature=1.0, seed=4, top_p=0.9, top_k=30)),
        Request(PROMPT[:5], replace(greedy, stop=("never", stop))),
        Request(PROMPT, replace(greedy, stop=(stop,), keep_stop=True)),
    ]
    alone = [local.generate([request])[0] for request in requests]
    assert remote.generate(requests) == alone
    assert remote.tokens == len(PROMPT) * 3 + 5 + 7 * 4
    assert {body["model"] for body in server.bodies} == {"tiny"}
    assert server.headers[-1]["Authorization"] == "Bearer word"


def test_continuations_are_read_from_the_echoed_prompt(remote: OpenAIGenerator, local: Generator) -> None:
    choices = [(40,), (41, 42, 43)]
    found, expected = remote.continuations(PROMPT[:6], choices), local.continuations(PROMPT[:6], choices)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_judge_over_http_equals_the_judge_in_process(folder: Path, server: Server) -> None:
    options = EngineOptions(device="cpu", dtype="float32", max_tokens=400)
    solution = Solution("How many?", ("3 + 4 = 7.",))
    given = {"max_tokens": "6", "temperature": "0"}
    rewards = []
    for address in ("", f"openai:{server.url}#tiny"):
        scorer = open_scorer(str(folder), options=replace(options, generator=address), family_options=given)
        assert scorer.info.family == "think_prm"
        (found,) = scorer.score([solution])
        assert isinstance(found, Reading), found
        rewards.append(found.rewards)
        scorer.close()
    assert rewards[0] == pytest.approx(rewards[1], abs=1e-5)


def test_a_judge_over_http_needs_no_weights(server: Server, tmp_path: Path) -> None:
    folder = checkpoints_judges.judge(tmp_path / "ThinkPRM-tiny")
    (folder / "model.safetensors").unlink()
    options = EngineOptions(device="cpu", dtype="float32", generator=f"openai:{server.url}")
    scorer = open_scorer(str(folder), options=options, family_options={"max_tokens": "2"})
    (found,) = scorer.score([Solution("How many?", ("3 + 4 = 7.",))])
    assert isinstance(found, Reading), found
    scorer.close()
    with pytest.raises(CheckpointError, match="holds no weights"):
        open_scorer(str(folder), options=replace(options, generator=""))


def ask(answer: Answer, retries: int = 2) -> tuple[Any, Server]:
    server = Server(answer)
    generator = OpenAIGenerator(server.url, "tiny", max_tokens=64, retries=retries, pause=0.01)
    try:
        return generator.generate([Request("How many?", Sampling(max_tokens=4))]), server
    finally:
        generator.close()
        server.close()


def test_a_busy_server_is_asked_again() -> None:
    statuses = iter([503, 429, 200])

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        return next(statuses), {"choices": [{"text": "7", "finish_reason": "stop"}]}

    found, server = ask(answer)
    assert found == [(Completion("7", "stop"),)]
    assert [body["prompt"] for body in server.bodies] == ["How many?"] * 3


@pytest.mark.parametrize(
    ("status", "value", "reason"),
    [
        (503, {}, "status 503"),
        (400, {"error": "no such model"}, "status 400"),
        (200, "<html>", "not JSON"),
        (200, {"data": []}, "no choices"),
        (200, {"choices": []}, "wrong count"),
        (200, {"choices": ["7"]}, "no text"),
        (200, {"choices": [{"message": {"content": "7"}}]}, "no text"),
        (200, {"choices": [{"text": None}]}, "no text"),
        (200, {"choices": [{"text": "7", "index": None}]}, "malformed"),
        (200, {"choices": [{"text": "7", "logprobs": {"tokens": ["7"]}}]}, "malformed"),
    ],
)
def test_answers_that_are_none_are_errors(status: int, value: Any, reason: str) -> None:
    with pytest.raises(GeneratorError) as caught:
        ask(lambda body: (status, value), retries=1)
    assert caught.value.detail["reason"] == reason


@pytest.mark.parametrize("name", ["stop_reason", "matched_stop"])
def test_the_stop_text_that_a_server_names_ends_the_completion(name: str) -> None:
    """vLLM and SGLang call it differently; without it a step would look like the end of the solution."""
    choice = {"text": "one", "finish_reason": "stop", name: "\n\n"}
    server = Server(lambda body: (200, {"choices": [choice], "usage": {"total_tokens": None}}))
    generator = OpenAIGenerator(server.url, "tiny", max_tokens=64)
    ((completion,),) = generator.generate([Request("p", Sampling(stop=("\n\n",), keep_stop=True))])
    assert completion.text == "one\n\n"
    generator.close()
    server.close()


@pytest.mark.parametrize("reason", ["stop", "length"])
@pytest.mark.parametrize("named", [{}, {"stop_reason": "\n\n"}])
@pytest.mark.parametrize("text", ["one\n\n", "one\n\ntwo\n\nthree"])
def test_a_server_that_leaves_the_stop_text_in_or_samples_on_is_held_to_it(
    text: str, named: dict[str, str], reason: str
) -> None:
    """Otherwise several steps would be one, or a step would end twice."""
    server = Server(lambda body: (200, {"choices": [{"text": text, "finish_reason": reason, **named}]}))
    generator = OpenAIGenerator(server.url, "tiny", max_tokens=64)
    for keep, expected in ((True, "one\n\n"), (False, "one")):
        ((completion,),) = generator.generate([Request("p", Sampling(stop=("\n\n",), keep_stop=keep))])
        assert (completion.text, completion.stop_reason) == (expected, "stop")
    generator.close()
    server.close()


def test_a_server_that_is_not_there_is_an_error() -> None:
    server = Server(lambda body: (200, {}))
    server.close()
    generator = OpenAIGenerator(server.url, "tiny", max_tokens=64, retries=1, pause=0.01)
    with pytest.raises(GeneratorDead, match="2 attempts"):
        generator.continuations((1, 2), [(3,)])
    with pytest.raises(GeneratorDead, match="1 attempt:"):
        generator.continuations((1, 2), [(3,)])
    generator.close()


def test_a_server_that_comes_back_gets_every_attempt_again() -> None:
    answers = iter([(200, {"choices": [{"text": "x"}]}), (503, {}), (200, {"choices": [{"text": "y"}]})])
    gone = Server(lambda body: (200, {}))
    gone.close()
    generator = OpenAIGenerator(gone.url, "tiny", max_tokens=64, retries=1, pause=0.01)
    ask_again = [Request("p", Sampling())]
    with pytest.raises(GeneratorDead):
        generator.generate(ask_again)
    back = Server(lambda body: next(answers), port=gone.port)
    assert [generator.generate(ask_again)[0][0].text for _ in range(2)] == ["x", "y"]
    generator.close()
    back.close()


@pytest.mark.parametrize(
    ("status", "value", "said"),
    [
        (401, "no", "OPENAI_API_KEY"),
        (404, "no such model", "#NAME"),
        (405, "", "completions endpoint"),
        (200, "<html>", "completions endpoint"),
        (200, {"data": []}, "completions endpoint"),
    ],
)
def test_what_never_answered_as_a_policy_is_dead_and_what_has_is_not(status: int, value: Any, said: str) -> None:
    """A wrong address fails every request alike; one odd answer of a server that works fails its request."""
    with pytest.raises(GeneratorDead, match=said):
        ask(lambda body: (status, value), retries=0)
    answers = iter([(200, {"choices": [{"text": "x"}]}), (status, value)])
    server = Server(lambda body: next(answers))
    generator = OpenAIGenerator(server.url, "tiny", max_tokens=64, retries=0)
    generator.generate([Request("p", Sampling())])
    with pytest.raises(GeneratorError) as caught:
        generator.generate([Request("p", Sampling())])
    assert not isinstance(caught.value, GeneratorDead)
    generator.close()
    server.close()


def test_a_server_without_echo_is_an_error() -> None:
    server = Server(lambda body: (200, {"choices": [{"text": "x", "logprobs": {"token_logprobs": [-0.1]}}]}))
    generator = OpenAIGenerator(server.url, "tiny", max_tokens=64, retries=0)
    with pytest.raises(GeneratorError, match="echo"):
        generator.continuations((1, 2), [(3,)])
    generator.close()
    server.close()


@pytest.mark.parametrize("address", ["openai:", "ollama", "https://example.org/v1"])
def test_an_address_that_means_nothing_is_refused(folder: Path, address: str) -> None:
    with pytest.raises(CheckpointError, match="not a generator"):
        open_generator(address, folder, model="m", device="cpu", dtype="float32", longest=64)


def test_device_and_dtype_do_not_matter_to_a_server(folder: Path) -> None:
    """In this test asking for the CPU's bfloat16 units is an error, and so is a GPU on a machine without one."""
    generator = open_generator("openai:http://127.0.0.1:1/v1", folder, model="m", device="cuda", longest=64)
    assert generator.info.max_tokens == 64
    generator.close()
    open_generator("openai:http://127.0.0.1:1/v1", folder, model="m", dtype="auto", longest=64).close()


@pytest.mark.vllm
@pytest.mark.filterwarnings("ignore")  # those of vLLM's own imports
def test_vllm_equals_transformers(tmp_path: Path) -> None:
    """Heads are 32 wide, the narrowest that vLLM's attention on a CPU runs."""
    wide = checkpoints_causal.causal(
        tmp_path / "wide", "qwen2", hidden_size=128, head_dim=32, max_position_embeddings=512
    )
    local = open_transformers(wide, CPU, torch.float32, max_tokens=256)
    generator = open_generator("vllm", wide, model="m", device="cpu", dtype="float32", longest=256)
    greedy = Request(PROMPT, Sampling(max_tokens=12, temperature=0.0))
    assert generator.generate([greedy])[0][0].text == local.generate([greedy])[0][0].text
    choices = [(40,), (41, 42)]
    for one, other in zip(generator.continuations(PROMPT, choices), local.continuations(PROMPT, choices), strict=True):
        assert one == pytest.approx(other, abs=1e-4, rel=2e-5)  # random weights give log-probabilities down to -15
    seeded = Sampling(n=8, max_tokens=6, seed=1)
    requests = [Request((*PROMPT * 5, 40 + number), seeded) for number in range(60)]  # more than one step can read
    assert generator.generate(requests) == generator.generate(requests)
    generator.close()
