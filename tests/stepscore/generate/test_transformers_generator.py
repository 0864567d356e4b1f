"""Sampling in process: the same tokens as transformers' own loop, the same seed the same text."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

import checkpoints_causal
from stepscore.errors import CheckpointError, GeneratorError
from stepscore.generate.protocol import Request, Sampling
from stepscore.generate.sampling import Sampler, draw_from, mask_unlikely
from stepscore.generate.stopping import cut
from stepscore.generate.transformers import TransformersGenerator, open_transformers

GREEDY = Sampling(max_tokens=24, temperature=0.0)
PROMPT = "Question: How many? Is the step correct (Yes/No)?"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints_causal.causal(tmp_path_factory.mktemp("generator") / "tiny", kind="qwen2")


@pytest.fixture(scope="module")
def generator(folder: Path) -> TransformersGenerator:
    return open_transformers(folder, CPU, torch.float32, max_tokens=128)


def ids_of(folder: Path) -> tuple[int, ...]:
    return tuple(AutoTokenizer.from_pretrained(folder)(PROMPT)["input_ids"])


def test_greedy_equals_transformers(generator: TransformersGenerator, folder: Path) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.tensor([ids_of(folder)])
    config = GenerationConfig(max_new_tokens=24, do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=0)
    output = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    (completions,) = generator.generate([Request(PROMPT, dataclasses.replace(GREEDY, n=2))])
    expected = tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
    assert [completion.text for completion in completions] == [expected] * 2
    assert len(expected) > 10


def test_log_probabilities_are_the_models_own(generator: TransformersGenerator, folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        expected = model(torch.tensor([ids_of(folder)])).logits[0, -1].log_softmax(-1)
    warm = dataclasses.replace(GREEDY, temperature=2.0, top_k=5, seed=3, top_logprobs=4)
    token = generator.generate([Request(PROMPT, warm)])[0][0].tokens[0]
    likeliest = expected.topk(4).values.tolist()
    assert max(token.top.values()) == pytest.approx(likeliest[0], abs=1e-5)
    assert all(min(abs(found - each) for each in likeliest) < 1e-5 for found in token.top.values())
    assert min((expected - token.logprob).abs()) < 1e-5


def test_continuations_are_log_probabilities(generator: TransformersGenerator, folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt, choices = ids_of(folder), [(40,), (41, 42, 43), (44, 45)]
    for choice, found in zip(choices, generator.continuations(prompt, choices), strict=True):
        with torch.inference_mode():
            logprobs = model(torch.tensor([prompt + choice])).logits[0].log_softmax(-1)
        expected = [logprobs[len(prompt) - 1 + n, token].item() for n, token in enumerate(choice)]
        assert found == pytest.approx(expected, abs=1e-5)
    (alone,) = generator.continuations(prompt, [(40,)])
    assert alone == pytest.approx(generator.continuations(prompt, choices)[0], abs=1e-5)


def test_a_seed_gives_the_same_texts_in_any_company(generator: TransformersGenerator) -> None:
    sampling = Sampling(n=4, max_tokens=12, seed=7)
    other = Request("Something else.", dataclasses.replace(sampling, n=2, max_tokens=5))
    (first,) = generator.generate([Request(PROMPT, sampling)])
    _, second = generator.generate([other, Request(PROMPT, sampling)])
    assert [completion.text for completion in first] == [completion.text for completion in second]
    assert len({completion.text for completion in first}) == 4
    (third,) = generator.generate([Request(PROMPT, dataclasses.replace(sampling, seed=8))])
    assert [completion.text for completion in first] != [completion.text for completion in third]


def test_stop_texts_end_a_completion(generator: TransformersGenerator) -> None:
    (whole,) = generator.generate([Request(PROMPT, GREEDY)])[0]
    stop = whole.text[8:11]
    end = whole.text.index(stop)
    (short,) = generator.generate([Request(PROMPT, dataclasses.replace(GREEDY, stop=("never", stop)))])[0]
    assert (short.text, short.stop_reason) == (whole.text[:end], "stop")
    kept = dataclasses.replace(GREEDY, stop=(stop,), keep_stop=True)
    assert generator.generate([Request(PROMPT, kept)])[0][0].text == whole.text[: end + len(stop)]
    assert len(short.tokens) < len(whole.tokens)
    assert whole.stop_reason == "length"


def test_the_context_ends_a_completion_and_refuses_a_prompt(generator: TransformersGenerator) -> None:
    prompt = tuple(range(40, 150))
    (completion,) = generator.generate([Request(prompt, dataclasses.replace(GREEDY, max_tokens=1000))])[0]
    assert completion.stop_reason == "length"
    assert len(completion.tokens) <= 18
    with pytest.raises(GeneratorError) as caught:
        generator.generate([Request(prompt + prompt[:18], GREEDY)])
    assert caught.value.detail["reason"] == "context"


def test_tokens_are_counted(folder: Path) -> None:
    generator = open_transformers(folder, CPU, torch.float32, max_tokens=128)
    generator.generate([Request(PROMPT, dataclasses.replace(GREEDY, max_tokens=3))])
    assert generator.tokens == len(ids_of(folder)) + 2


def test_what_prompts_share_is_read_once(folder: Path) -> None:
    generator = open_transformers(folder, CPU, torch.float32, max_tokens=128)
    prompts = [tuple(range(40, 40 + length)) for length in (30, 10, 20, 30)]
    generator.generate([Request(prompt, Sampling(n=3, max_tokens=1, seed=1)) for prompt in prompts])
    assert generator.tokens == 30
    generator.generate(
        [Request((*prompts[0], 7, 8), Sampling(max_tokens=1)), Request(prompts[1], Sampling(max_tokens=1))]
    )
    assert generator.tokens == 32


def test_a_step_that_was_sampled_is_not_read_again(folder: Path) -> None:
    """Its last token is: what comes after it is not known yet."""
    generator = open_transformers(folder, CPU, torch.float32, max_tokens=128)
    prompt = ids_of(folder)
    (whole,) = generator.generate([Request(prompt, GREEDY)])[0]
    stop = whole.text[8:11]
    (step,) = generator.generate([Request(prompt, dataclasses.replace(GREEDY, stop=(stop,), keep_stop=True))])[0]
    model = AutoModelForCausalLM.from_pretrained(folder)
    written = greedy_ids(model, prompt, len(step.tokens))
    before = generator.tokens
    (rest,) = generator.generate([Request(prompt + written, dataclasses.replace(GREEDY, max_tokens=6))])[0]
    assert generator.tokens - before == 1 + 5
    assert greedy_ids(model, prompt + written, 6) == greedy_ids(model, prompt, len(written) + 6)[len(written) :]
    assert rest.text in whole.text


def greedy_ids(model: Any, prompt: tuple[int, ...], tokens: int) -> tuple[int, ...]:
    config = GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0)
    ids = torch.tensor([prompt])
    output = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return tuple(output[0, len(prompt) :].tolist())


def test_prompts_of_all_lengths_are_sampled_side_by_side(generator: TransformersGenerator) -> None:
    """Rows that are padded, shared, ended early or alone: each says what it says alone."""
    endings = [Sampling(n=n, max_tokens=tokens, seed=n, top_k=8 * n) for n, tokens in ((1, 3), (2, 40), (5, 17))]
    prompts = [tuple(range(50, 50 + length)) for length in (3, 60, 21)]
    requests = [Request(prompt, sampling) for prompt in prompts for sampling in endings] * 4
    alone = {request: generator.generate([request])[0] for request in dict.fromkeys(requests)}
    for request, found in zip(requests, generator.generate(requests), strict=True):
        assert [one.text for one in found] == [one.text for one in alone[request]]
        assert [one.stop_reason for one in found] == [one.stop_reason for one in alone[request]]


def test_a_missing_tensor_is_an_error_not_a_random_head(folder: Path, tmp_path: Path) -> None:
    broken = checkpoints_causal.causal(tmp_path / "broken", kind="qwen2")
    state = load_file(broken / "model.safetensors")
    del state["lm_head.weight"]
    save_file(state, broken / "model.safetensors")
    with pytest.raises(CheckpointError, match="lm_head"):
        open_transformers(broken, CPU, torch.float32, max_tokens=128)
    with pytest.raises(CheckpointError):
        open_transformers(tmp_path, CPU, torch.float32, max_tokens=128)


@given(
    logits=st.lists(st.integers(-9, 9), min_size=2, max_size=12, unique=True),
    top_k=st.integers(0, 13),
    top_p=st.floats(0.05, 1.0),
)
def test_top_k_and_top_p_keep_the_likeliest(logits: list[int], top_k: int, top_p: float) -> None:
    kept = (
        mask_unlikely(torch.tensor(logits, dtype=torch.float32), Sampling(top_k=top_k, top_p=top_p)).isfinite().tolist()
    )
    order = sorted(range(len(logits)), key=lambda place: -logits[place])
    count = sum(kept)
    assert [kept[place] for place in order] == [True] * count + [False] * (len(logits) - count)
    assert 1 <= count <= (top_k or len(logits))
    weights = [math.exp(logits[place]) for place in order[: top_k or None]]
    assert count == len(weights) or sum(weights[:count]) / sum(weights) >= top_p - 1e-5


def test_sampling_follows_the_probabilities() -> None:
    logits = torch.tensor([1.0, 0.0, -20.0])
    sampler = Sampler(Sampling(seed=1), 0)
    drawn = [sampler.pick(logits) for _ in range(2000)]
    assert drawn.count(0) / 2000 == pytest.approx(math.e / (math.e + 1), abs=0.03)
    assert drawn.count(2) == 0


@given(st.lists(st.floats(-30, 5), min_size=1, max_size=6), st.floats(0, 1, exclude_max=True))
def test_a_draw_falls_into_its_share_of_a_large_vocabulary(logits: list[float], draw: float) -> None:
    """Tokens far apart, as the blocks of 256 see them, with no others between."""
    logits_V = torch.full((1024,), -torch.inf)
    places = [170 * n for n in range(len(logits))]
    logits_V[places] = torch.tensor(logits)
    (token,) = draw_from(logits_V[None], Sampling(), [draw])
    ends = torch.tensor(logits, dtype=torch.float64).softmax(-1).cumsum(-1).tolist()
    assert token in places
    index = places.index(token)
    assert (ends[index - 1] if index else 0.0) - 1e-5 <= draw <= ends[index] + 1e-5


@given(text=st.text("abc", max_size=12), stops=st.lists(st.text("abc", min_size=1, max_size=3), max_size=3))
def test_a_cut_text_holds_no_stop(text: str, stops: list[str]) -> None:
    short, stop = cut(text, stops, keep=False)
    assert text.startswith(short)
    assert not any(each in short for each in stops)
    assert (stop is None) == (short == text)
    kept, _ = cut(text, stops, keep=True)
    assert kept == short + (stop or "")
