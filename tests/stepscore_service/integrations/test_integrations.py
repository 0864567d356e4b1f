"""The functions that trainers import, against a live service."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from service_case import PROBLEM, STEPS, connect, fake_scorer, live, metric
from stepscore_service.client import ServiceError
from stepscore_service.errors import InvalidChat
from stepscore_service.integrations import openrlhf, trl, verl

TEXT = "\n".join(STEPS)
BLEND = {"process": 0.5, "outcome": 1.0, "gate": 0.0}
PROMPT = f"<|im_start|>user\n{PROBLEM}<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
def service(url: str, monkeypatch: pytest.MonkeyPatch, http: httpx.Client) -> httpx.Client:
    """The service that the environment names."""
    monkeypatch.setenv("PRM_URL", url)
    return http


@pytest.fixture
def score(service: httpx.Client) -> float:
    answer = service.post("/score", json={"problem": PROBLEM, "solution": TEXT}).json()
    return float(answer["score"])


def test_trl_gets_a_score_for_texts_and_for_conversations(score: float) -> None:
    chat = [{"role": "user", "content": PROBLEM}]
    completions = [[{"role": "assistant", "content": TEXT}], [{"role": "assistant", "content": ""}]]
    logged: dict[str, float] = {}
    conversational = trl.prm_reward([chat, chat], completions, log_metric=logged.__setitem__, trainer_state=None)
    assert asyncio.run(conversational) == [pytest.approx(score, abs=1e-6), None]
    assert logged == {"prm/unscored": 0.5}
    plain = trl.prm_reward(
        prompts=[PROBLEM, PROBLEM], completions=[TEXT, TEXT], completion_ids=[[1], [2]], answer=["", ""]
    )
    assert asyncio.run(plain) == pytest.approx([score, score], abs=1e-6)


@pytest.mark.parametrize(("chosen", "expected"), [("lowest", [0.0]), ("skip", [None])])
def test_the_environment_says_what_an_empty_completion_becomes(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch, chosen: str, expected: list[float | None]
) -> None:
    monkeypatch.setenv("PRM_ON_ERROR", chosen)
    assert asyncio.run(trl.prm_reward([PROBLEM], [""])) == expected


def test_trl_names_the_lengths_of_lists_that_do_not_fit(service: httpx.Client) -> None:
    with pytest.raises(ValueError, match="2 prompts and 1 completions"):
        asyncio.run(trl.prm_reward([PROBLEM, PROBLEM], [TEXT]))


@pytest.mark.parametrize("chosen", ["lowest", "skip"])
def test_a_fault_of_the_set_up_is_raised_whatever_the_environment_says(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    monkeypatch.setenv("PRM_ON_ERROR", chosen)
    with pytest.raises(ServiceError, match="no_problem"):
        asyncio.run(trl.prm_reward([" "], [TEXT]))
    monkeypatch.setenv("PRM_MODEL", "other")
    with pytest.raises(ServiceError, match="unknown_model"):
        asyncio.run(trl.prm_reward([PROBLEM], [TEXT]))


def test_verl_raises_a_fault_of_the_set_up_though_lowest_was_chosen(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRM_ON_ERROR", "lowest")
    monkeypatch.setenv("PRM_AGGREGATE", "median")
    with pytest.raises(ServiceError, match="unknown_aggregate"):
        asyncio.run(verl.compute_score("math", TEXT, "", {"question": PROBLEM}))


def test_an_error_stops_a_trainer_that_has_no_place_for_it(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServiceError, match="no_steps"):
        asyncio.run(verl.compute_score("math", "", "", {"question": PROBLEM}))
    with pytest.raises(ServiceError, match="no_steps"):
        openrlhf.reward_func([PROMPT], [PROMPT], [""])
    monkeypatch.setenv("PRM_ON_ERROR", "skip")
    with pytest.raises(ValueError, match="raise, lowest"):
        asyncio.run(verl.compute_score("math", TEXT, "", {"question": PROBLEM}))


def test_a_failure_of_the_service_is_an_exception_whatever_was_chosen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(batch: object) -> None:
        raise MemoryError("no memory")

    monkeypatch.setenv("PRM_ON_ERROR", "lowest")
    with live({"tiny": fake_scorer(folder, "tiny", before_forward=fail)}) as url:
        monkeypatch.setenv("PRM_URL", url)
        for call in (
            lambda: trl.prm_reward([PROBLEM], [TEXT]),
            lambda: verl.compute_score("math", TEXT, "", {"question": PROBLEM}),
        ):
            with pytest.raises(ServiceError, match="engine_failed"):
                asyncio.run(call())


async def many(count: int) -> list[dict[str, float]]:
    calls = [verl.compute_score("math", f"{TEXT}\n{n}", "", {"question": PROBLEM}) for n in range(count)]
    return await asyncio.gather(*calls)


def test_samples_of_verl_travel_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with live({"tiny": fake_scorer(folder, "tiny")}) as url, connect(url) as http:
        monkeypatch.setenv("PRM_URL", url)
        scores = asyncio.run(many(128))
        requests = metric(http, "stepscore_requests_total", route="/score")
    assert len(scores) == 128
    assert requests <= 20
    assert all(set(each) == {"score", "prm_min", "prm_mean", "first_error", "steps", "scored"} for each in scores)


def test_verl_needs_the_problem_in_the_sample(service: httpx.Client) -> None:
    with pytest.raises(KeyError, match="extra_info"):
        asyncio.run(verl.compute_score("math", TEXT, "", {}))


def test_the_aggregate_comes_from_the_environment(service: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRM_AGGREGATE", "last")
    found = asyncio.run(verl.compute_score("math", TEXT, "", {"problem": PROBLEM}))
    answer = service.post("/score", json={"problem": PROBLEM, "solution": TEXT, "aggregate": "last"}).json()
    assert found["score"] == pytest.approx(answer["score"], abs=1e-6)


def test_openrlhf_gets_numbers_for_one_query_and_lists_for_several(score: float) -> None:
    one = openrlhf.reward_func([PROMPT + TEXT], [PROMPT], ["18"])
    assert (one["rewards"], one["extra_logs"]["steps"]) == (pytest.approx(score, abs=1e-6), 2)
    two = openrlhf.reward_func([PROMPT + TEXT] * 2, [PROMPT] * 2, ["18"] * 2)
    assert two["rewards"] == pytest.approx([score, score], abs=1e-6)


class Letters:
    """A tokenizer whose tokens are characters; 0 is a special token."""

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        assert skip_special_tokens
        return "".join(chr(each) for each in ids if each)


class Batch:
    """What verl's DataProto offers to a reward manager: rows with a batch and further columns."""

    def __init__(self, batch: dict[str, Any], **columns: list[Any]) -> None:
        self.batch, self.columns = batch, columns

    def __len__(self) -> int:
        return len(self.batch["responses"])

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Batch({k: v[place] for k, v in self.batch.items()}, **{k: v[place] for k, v in self.columns.items()})
        row = {name: rows[place] for name, rows in self.batch.items()}
        return SimpleNamespace(batch=row, non_tensor_batch={name: rows[place] for name, rows in self.columns.items()})


@pytest.fixture
def batch() -> Batch:
    """Two samples, padded: one in two steps, one in a single step; both end with a special token."""
    texts = [TEXT, STEPS[0]]
    width, asked = max(map(len, texts)) + 5, 3
    responses, mask = torch.zeros(2, width, dtype=torch.long), torch.zeros(2, asked + width, dtype=torch.long)
    for row, text in enumerate(texts):
        responses[row, : len(text)] = torch.tensor([ord(each) for each in text])
        mask[row, : asked + len(text) + 1] = 1
    chat = [{"role": "user", "content": PROBLEM}]
    return Batch(
        {"prompts": torch.zeros(2, asked, dtype=torch.long), "responses": responses, "attention_mask": mask},
        raw_prompt=[chat, chat],
    )


async def run_all(manager: verl.StepRewardManager, batch: Batch) -> list[dict[str, Any]]:
    return [await manager.run_single(batch[row : row + 1]) for row in range(len(batch))]


def test_verl_s_manager_writes_step_rewards_where_steps_end(service: httpx.Client, batch: Batch) -> None:
    found = asyncio.run(run_all(verl.StepRewardManager(None, Letters(), None), batch))
    scores = pickle.loads(pickle.dumps([each["reward_score"] for each in found]))
    rewards = verl.StepRewardManager.assemble_rm_scores(batch, scores)
    answers = [service.post("/score", json={"problem": PROBLEM, "solution": each}).json() for each in (TEXT, STEPS[0])]
    for row, answer in enumerate(answers):
        expected = torch.zeros(rewards.shape[1])
        for (_, end), reward in zip(answer["spans"], answer["rewards"], strict=True):
            expected[end - 1] = reward
        assert torch.allclose(rewards[row], expected, atol=1e-6)
    assert scores == pytest.approx([each["score"] for each in answers], abs=1e-6)
    assert all(isinstance(each, float) for each in scores), "paths that take one number get the score"


def test_verl_s_manager_scores_what_the_policy_wrote_and_not_what_a_tool_answered(
    service: httpx.Client, batch: Batch
) -> None:
    """`response_mask` leaves the tool's answer out; steps end on the policy's own tokens."""
    tool, own = "<tool>The total is 99.</tool>\n", f"{STEPS[0]}\n"
    text = own + tool + STEPS[1]
    row = torch.tensor([ord(each) for each in text])
    mask = torch.tensor([1] * len(own) + [0] * len(tool) + [1] * len(STEPS[1]))
    whole = {"prompts": torch.zeros(1, 3), "responses": row[None], "attention_mask": torch.ones(1, 3 + len(text))}
    sample = Batch({**whole, "response_mask": mask[None]}, raw_prompt=batch.columns["raw_prompt"][:1])
    found = asyncio.run(run_all(verl.StepRewardManager(None, Letters()), sample))
    expected = service.post("/score", json={"problem": PROBLEM, "solution": TEXT}).json()
    tokens = found[0]["reward_score"].tokens
    assert [place for place, _ in tokens] == [len(STEPS[0]) - 1, len(text) - 1]
    assert [reward for _, reward in tokens] == pytest.approx(expected["rewards"], abs=1e-6)


def test_verl_s_manager_finds_step_ends_beside_tags_that_share_their_lines(service: httpx.Client, batch: Batch) -> None:
    text = f"<think>{STEPS[0]}</think>{STEPS[1]}"
    row = torch.tensor([[ord(each) for each in text]])
    whole = {"prompts": torch.zeros(1, 3), "responses": row, "attention_mask": torch.ones(1, 3 + len(text))}
    sample = Batch(whole, raw_prompt=batch.columns["raw_prompt"][:1])
    found = asyncio.run(run_all(verl.StepRewardManager(None, Letters()), sample))
    assert found[0]["reward_score"].tokens == tuple(
        (place, pytest.approx(reward, abs=1e-6))
        for place, reward in zip(
            [text.index(STEPS[1]) - 1, len(text) - 1],
            service.post("/score", json={"problem": PROBLEM, "steps": STEPS}).json()["rewards"],
            strict=True,
        )
    )


@pytest.mark.parametrize(
    "written", [f"{TEXT}<|im_end|>", f"{TEXT}<|im_end|>\n<|endoftext|>", f"<think>\n</think>{TEXT}"]
)
def test_every_function_scores_what_the_policy_wrote(service: httpx.Client, score: float, written: str) -> None:
    """End tokens and tags of thinking are no part of it, whether a trainer's decoding keeps them or not."""
    assert asyncio.run(trl.prm_reward([PROBLEM], [written])) == pytest.approx([score], abs=1e-6)
    found = asyncio.run(verl.compute_score("math", written, "", {"question": PROBLEM}))
    assert found["score"] == pytest.approx(score, abs=1e-6)
    assert openrlhf.reward_func([PROMPT + written], [PROMPT], [""])["rewards"] == pytest.approx(score, abs=1e-6)
    rewarded = openrlhf.reward_func([PROMPT + written], [PROMPT], [""], shape="last")
    assert rewarded["rewards"] == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("completion", [None, 7, b"9 eggs", {"role": "assistant", "content": "9 eggs"}])
def test_a_completion_that_is_neither_text_nor_messages_is_named(service: httpx.Client, completion: Any) -> None:
    with pytest.raises(InvalidChat, match=f"not {type(completion).__name__}"):
        asyncio.run(trl.prm_reward([PROBLEM], [completion]))
    with pytest.raises(InvalidChat, match=f"not {type(completion).__name__}"):
        asyncio.run(verl.compute_score("math", completion, "", {"question": PROBLEM}))


def test_a_prompt_in_a_template_that_is_not_known_is_an_error(service: httpx.Client) -> None:
    with pytest.raises(InvalidChat, match="marker of a chat template"):
        asyncio.run(trl.prm_reward([f"<|start|>user<|message|>{PROBLEM}<|end|><|start|>assistant"], [TEXT]))


@pytest.mark.parametrize("answer", [["18", "18.0"], {"target": "18"}, np.array(["18", "$18"]), True])
def test_a_known_answer_is_one_text_or_number(service: httpx.Client, answer: Any) -> None:
    """The text of a list would be compared as if it were an answer, and every sample be wrong."""
    with pytest.raises(ValueError, match="one text or number"):
        asyncio.run(trl.prm_reward([PROBLEM], [TEXT], blend=BLEND, answer=[answer]))


@pytest.mark.parametrize("answer", ["18", 18, np.int64(18), np.str_("18"), np.array(18)])
def test_numbers_are_known_answers_too(service: httpx.Client, answer: Any) -> None:
    found = asyncio.run(verl.compute_score("math", TEXT, answer, {"question": PROBLEM}, blend=BLEND))
    assert found["outcome"] == 1


def test_a_known_answer_that_cannot_be_read_is_raised_whatever_the_environment_says(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of the data set is at fault; the lowest reward would teach the policy something."""
    text, blend = "So the answer is $x^2 + 2$.", {"gate": 0}
    for chosen in ("skip", "lowest"):
        monkeypatch.setenv("PRM_ON_ERROR", chosen)
        with pytest.raises(ServiceError, match="cannot be read"):
            asyncio.run(trl.prm_reward([PROBLEM], [text], blend=blend, answer=[r"\frac{1}{"]))


def test_openrlhf_names_the_lengths_of_lists_that_do_not_fit(service: httpx.Client) -> None:
    with pytest.raises(ValueError, match="1 queries, 1 prompts and 2 labels"):
        openrlhf.reward_func([PROMPT + TEXT], [PROMPT], ["18", "19"], blend=BLEND)


def test_a_plain_number_goes_to_the_last_token(batch: Batch) -> None:
    rewards = verl.StepRewardManager.assemble_rm_scores(batch, [0.25, 0.5])
    assert [(int(row.nonzero()), float(row.sum())) for row in rewards] == [(len(TEXT), 0.25), (len(STEPS[0]), 0.5)]


@pytest.fixture
def rewarded(service: httpx.Client) -> dict[str, Any]:
    """What POST /reward says of TEXT, whose final answer is 18, in the shape min_form."""
    item = {"problem": PROBLEM, "solution": TEXT, "answer": "18"}
    body = {"items": [item, {**item, "answer": "19"}], "shape": "min_form", "blend": BLEND}
    right, wrong = service.post("/reward", json=body).json()["results"]
    return {"right": right, "wrong": wrong}


def test_trl_blends_with_the_data_set_s_answers(service: httpx.Client, rewarded: dict[str, Any]) -> None:
    function = trl.prm_reward_with(shape="min_form", blend=BLEND)
    assert function.__name__ == "prm_reward"
    state = SimpleNamespace(global_step=7)
    found = asyncio.run(function([PROBLEM] * 2, [TEXT] * 2, answer=["18", 19], trainer_state=state))
    assert found == pytest.approx([rewarded["right"]["total"], rewarded["wrong"]["total"]], abs=1e-5)
    assert found[1] <= 0 < found[0]
    drift = service.get("/v1/drift").json()["data"][0]["versions"]
    assert "step-7" in [each["version"] for each in drift]
    asyncio.run(trl.prm_reward([PROBLEM], [TEXT], trainer_state=SimpleNamespace(global_step=8)))
    drift = service.get("/v1/drift").json()["data"][0]["versions"]
    assert drift[-1]["version"] == "step-8", "a plain score has a version, too"


def test_progress_against_the_group_is_for_trl_alone(service: httpx.Client) -> None:
    other = f"{STEPS[0]}\nSo she makes $9."
    found = asyncio.run(trl.prm_reward([PROBLEM] * 2, [TEXT, other], shape="progress", reference="group"))
    assert sum(each or 0 for each in found) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="one sample at a time"):
        verl.StepRewardManager(None, Letters(), shape="progress", reference="group")


def test_a_blend_without_answers_is_refused(service: httpx.Client) -> None:
    with pytest.raises(ValueError, match="known answer"):
        asyncio.run(trl.prm_reward([PROBLEM], [TEXT], blend=BLEND))
    with pytest.raises(ValueError, match="known answer"):
        openrlhf.reward_func([PROMPT + TEXT], [PROMPT], [""], blend=BLEND)


def test_the_environment_chooses_shape_and_blend(
    service: httpx.Client, rewarded: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRM_SHAPE", "min_form")
    monkeypatch.setenv("PRM_BLEND", '{"process": 0.5, "outcome": 1.0, "gate": 0.0}')
    right, wrong = rewarded["right"], rewarded["wrong"]
    found = asyncio.run(verl.compute_score("math", TEXT, "18", {"question": PROBLEM}))
    assert found == pytest.approx(
        {"score": right["total"], "prm_score": right["score"], "outcome": 1, "steps": 2, "scored": 1}, abs=1e-5
    )
    two = openrlhf.reward_func([PROMPT + TEXT] * 2, [PROMPT] * 2, ["18", "19"])
    assert two["rewards"] == pytest.approx([right["total"], wrong["total"]], abs=1e-5)
    assert (two["scores"], two["extra_logs"]["outcome"]) == ([1.0, 0.0], [1.0, 0.0])
    monkeypatch.setenv("PRM_BLEND", "gate=0")
    with pytest.raises(ValueError, match="PRM_BLEND"):
        asyncio.run(verl.compute_score("math", TEXT, "18", {"question": PROBLEM}))


def test_an_answer_that_cannot_be_read_follows_prm_on_error(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, blend = "She sells duck eggs every day.", {"outcome": 2.0, "wrong": -1.0, "gate": -1.5}
    assert asyncio.run(trl.prm_reward([PROBLEM], [text], blend=blend, answer=["18"])) == [None]
    with pytest.raises(ServiceError, match="no_outcome"):
        asyncio.run(verl.compute_score("math", text, "18", {"question": PROBLEM}, blend=blend))
    monkeypatch.setenv("PRM_ON_ERROR", "lowest")
    found = asyncio.run(verl.compute_score("math", text, "18", {"question": PROBLEM}, blend=blend))
    assert (found["score"], found["scored"]) == (-2.0, 0)


def test_verl_s_manager_writes_shaped_and_blended_rewards_where_steps_end(
    service: httpx.Client, batch: Batch, rewarded: dict[str, Any]
) -> None:
    batch.columns["reward_model"] = [{"ground_truth": "18"}, {"ground_truth": "9"}]
    manager = verl.StepRewardManager(None, Letters(), shape="min_form", blend=BLEND)
    found = asyncio.run(run_all(manager, batch))
    rewards_BT = verl.StepRewardManager.assemble_rm_scores(batch, [each["reward_score"] for each in found])
    expected = torch.zeros(rewards_BT.shape[1])
    for step in rewarded["right"]["steps"]:
        expected[step["characters"][1] - 1] = step["shaped"]
    assert torch.allclose(rewards_BT[0], expected, atol=1e-5)
    assert [each["reward_extra_info"]["outcome"] for each in found] == [1, 1]
