"""POST /reward and token_rewards of /score over a live service with Qwen2.5's own tokenizer, and GET /v1/drift."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

import checkpoints
import real_tokenizers
import tokenizers_for_tests as made
from service_case import PROBLEM, connect, live, metric, torch_scorer
from stepscore.rewards.shaping import SHAPES
from stepscore_service.schemas.score import ShapeName
from stepscore_service.serving.keys import ApiKey, digest_of, make_key

TEXT = "Janet sells 16 - 3 - 4 = 9 duck eggs a day.\n\nShe makes 9 * 2 = $18 every day.\n\nThe answer is 18."
WRONG = TEXT.replace("18", "17")
ITEM = {"problem": PROBLEM, "solution": TEXT}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("reward")
    real_tokenizers.qwen().save_pretrained(folder / "policy")
    made.mistral().save_pretrained(folder / "small")
    tiny = torch_scorer(checkpoints.qwen_math(folder / "tiny-prm"), "tiny")
    tokenizers = (f"policy={folder / 'policy'}", f"small={folder / 'small'}")
    with live({"tiny": tiny}, tokenizers=tokenizers, drift_solutions=20) as url, connect(url) as client:
        yield client


def reward(http: httpx.Client, *items: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    answer = http.post("/reward", json={"items": list(items), **options})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]  # type: ignore[no-any-return]


def reward_of(http: httpx.Client, text: str = TEXT, **options: Any) -> dict[str, Any]:
    answer = http.post("/score", json={"problem": PROBLEM, "solution": text, **options})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def offsets_of(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    found = real_tokenizers.qwen()(text, add_special_tokens=False, return_offsets_mapping=True)
    return found["input_ids"], found["offset_mapping"]


def test_the_wire_knows_every_shape() -> None:
    assert set(get_args(ShapeName)) == set(SHAPES)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "progress"])
def test_token_rewards_are_the_shaped_step_rewards_at_step_ends(http: httpx.Client, shape: str) -> None:
    ids, offsets = offsets_of(TEXT)
    (found,) = reward(http, {**ITEM, "offsets": offsets, "token_ids": ids}, shape=shape)
    plain = reward_of(http)
    assert [step["reward"] for step in found["steps"]] == pytest.approx(plain["rewards"], abs=1e-5)
    assert [step["characters"] for step in found["steps"]] == plain["spans"]
    assert found["reward"] == found["score"] == pytest.approx(plain["score"], abs=1e-5)
    assert len(found["token_rewards"]) == len(ids)
    assert sum(found["token_rewards"]) == pytest.approx(found["total"], abs=1e-9)
    expected = [0.0] * len(ids)
    for step in found["steps"]:
        at = step["characters"][1] - 1
        ends = max(token for token, (first, last) in enumerate(offsets) if first <= at < last)
        assert step["tokens"][1] - 1 == ends
        expected[ends] = step["shaped"]
    assert found["token_rewards"] == expected
    assert ".\n\n" in [TEXT[start:end] for start, end in offsets], "a token crosses each step's end"


def test_offsets_ids_and_a_tokenizer_s_name_give_the_same(http: httpx.Client) -> None:
    ids, offsets = offsets_of(TEXT)
    end = real_tokenizers.qwen().convert_tokens_to_ids("<|im_end|>")
    (by_offsets,) = reward(http, {**ITEM, "offsets": offsets}, shape="step")
    (by_ids,) = reward(http, {**ITEM, "token_ids": [*ids, end]}, shape="step", tokenizer="policy")
    (by_name,) = reward(http, ITEM, shape="step", tokenizer="policy")
    assert by_ids["token_rewards"] == [*by_offsets["token_rewards"], 0.0], "the end token gets nothing"
    assert by_name["token_rewards"] == by_offsets["token_rewards"]
    assert by_name["token_ids"] == ids
    steps = {"problem": PROBLEM, "steps": ["Janet sells 9.\n\n", "So 18."]}
    (pieces,) = reward(http, steps, shape="step", tokenizer="small")
    assert pieces["steps"][0]["characters"] == [0, 16]
    assert sum(map(bool, pieces["token_rewards"])) == 2


@pytest.mark.parametrize(
    ("given", "options", "code"),
    [
        ({"offsets": [[0, 5]]}, {}, "tokens_mismatch"),
        ({"offsets": [[0, len(TEXT) + 1]]}, {}, "tokens_mismatch"),
        ({"offsets": [[0, len(TEXT)]], "token_ids": [1, 2]}, {}, "tokens_mismatch"),
        ({"offsets": [[0, len(TEXT)]], "token_ids": [1]}, {"tokenizer": "policy"}, "tokens_mismatch"),
        ({"token_ids": [1, 2, 3]}, {"tokenizer": "policy"}, "tokens_mismatch"),
        ({"token_ids": [1, 2, 3]}, {}, "tokens_mismatch"),
        ({"token_ids": [(1 << 32) - 1]}, {"tokenizer": "policy"}, "tokens_mismatch"),
        ({"answer": " "}, {}, "invalid_input"),
        ({}, {"blend": {"length": "tokens"}}, "invalid_shape"),
        ({"solution": " "}, {}, "no_steps"),
        ({"solution": "Well, let me think about ducks.", "answer": "18"}, {}, "no_outcome"),
    ],
)
def test_an_item_that_does_not_fit_is_an_error_in_its_place(
    http: httpx.Client, given: dict[str, Any], options: dict[str, Any], code: str
) -> None:
    counted = metric(http, "stepscore_errors_total", code=code)
    bad, good = reward(http, {**ITEM, **given}, {**ITEM, "offsets": offsets_of(TEXT)[1]}, **options)
    assert (bad["index"], bad["error"]["code"]) == (0, code)
    assert good["index"] == 1
    assert "reward" in good
    assert metric(http, "stepscore_errors_total", code=code) == counted + 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"shape": "progress"}, "reference"),
        ({"reference": 0.5}, "reference"),
        ({"shape": "sum"}, "min_form"),
        ({"temperature": 0}, "greater than"),
        ({"blend": {"process": 1e308}}, "less than"),
        ({"shape": "progress", "reference": -1e308}, "greater than"),
        ({"tokenizer": "llama"}, "has no tokenizer"),
        ({"blend": {"clip": [1, 0]}}, "clip"),
        ({"blend": {"verifier": "code"}}, "pattern"),
        ({"blend": {"gates": 0}}, "gates"),
        ({"aggregate": "median"}, "median"),
        ({"items": [{**ITEM, "offsets": [[0, 1, 2]]}]}, "offsets"),
        ({"items": [{**ITEM, "offsets": [["0", 1]]}]}, "offsets"),
        ({"items": [{**ITEM, "token_ids": [-1]}]}, "token_ids"),
        ({"items": [{**ITEM, "token_ids": [1 << 70]}]}, "token_ids"),
        ({"items": [{**ITEM, "token_ids": [True]}]}, "token_ids"),
        ({"items": [{**ITEM, "from_step": 1}]}, "from_step"),
    ],
)
def test_options_that_cannot_be_used_fail_the_request(http: httpx.Client, body: dict[str, Any], said: str) -> None:
    answer = http.post("/reward", json={"items": [ITEM], **body})
    assert answer.status_code == 422
    assert said in answer.text


@pytest.mark.parametrize("answer", [r"\frac{1}{", '{"answer": 18}', "$$"])
@pytest.mark.parametrize("unreadable", ["error", "wrong"])
def test_a_known_answer_that_cannot_be_read_is_no_fault_of_the_solution(
    http: httpx.Client, answer: str, unreadable: str
) -> None:
    """It is not `no_outcome`, which becomes the lowest reward on request, and no solution is taken as wrong for it."""
    item = {"problem": PROBLEM, "solution": "So the answer is $x^2 + 2$.", "answer": answer}
    (found,) = reward(http, item, blend={"unreadable": unreadable})
    assert found["error"]["code"] == "invalid_input"
    assert answer in found["error"]["message"]


@pytest.mark.parametrize("answer", ["Evelyn", "12 or 13", "x^2 + 1", "N/A"])
def test_words_rows_and_formulas_are_known_answers(http: httpx.Client, answer: str) -> None:
    item = {"problem": PROBLEM, "solution": "So the answer is 18.", "answer": answer}
    (found,) = reward(http, item, blend={"gate": 0})
    assert (found["outcome"]["outcome"], found["reward"]) == ("wrong", 0.0)


@pytest.mark.parametrize("blend", [{"gate": 0}, {"outcome": 2}, {"unreadable": "wrong"}, {"verifier": "exact"}])
def test_an_item_without_an_answer_does_not_escape_the_outcome(http: httpx.Client, blend: dict[str, Any]) -> None:
    """It would earn its score ungated, beside others that are gated."""
    known = {"problem": PROBLEM, "solution": TEXT, "answer": "18"}
    bad, good = reward(http, {"problem": PROBLEM, "solution": TEXT}, known, blend=blend)
    assert bad["error"]["code"] == "invalid_input"
    assert "`answer`" in bad["error"]["message"]
    assert "reward" in good


@pytest.mark.parametrize("blend", [{"process": 0.5}, {"clip": [0, 1]}, {"length": "steps"}, {"outcome": 0}])
def test_a_blend_of_the_process_alone_needs_no_answer(http: httpx.Client, blend: dict[str, Any]) -> None:
    (found,) = reward(http, {"problem": PROBLEM, "solution": TEXT}, blend=blend)
    assert found["reward"] == pytest.approx(blend.get("process", 1) * found["score"])


def test_progress_of_a_group_adds_up_to_zero(http: httpx.Client) -> None:
    other = {"problem": "How much is 2 + 3?", "solution": "2 + 3 = 5\n\nSo 5."}
    items = [ITEM, {"problem": PROBLEM, "solution": WRONG}, {"problem": PROBLEM, "solution": TEXT[:43]}, other, other]
    found = reward(http, *items, shape="progress", reference="group")
    totals = [each["total"] for each in found]
    assert any(abs(total) > 1e-4 for total in totals[:3])
    assert sum(totals[:3]) == pytest.approx(0.0, abs=1e-9)
    assert totals[3:] == pytest.approx([0.0, 0.0], abs=1e-6)
    (alone,) = reward(http, ITEM, shape="progress", reference="group")
    assert alone["error"]["code"] == "invalid_shape", "against itself its progress would be 0, whatever it did"
    (given,) = reward(http, ITEM, shape="progress", reference=0.25)
    assert given["total"] == pytest.approx(given["steps"][-1]["reward"] - 0.25, abs=1e-9)


def test_process_and_outcome_are_reported_apart_and_a_wrong_answer_is_gated(http: httpx.Client) -> None:
    items = [{**ITEM, "answer": "18"}, {"problem": PROBLEM, "solution": WRONG, "answer": "$18"}]
    blend = {"process": 0.5, "outcome": 2.0, "wrong": 0.25, "gate": -1.0}
    outcomes = metric(http, "stepscore_outcomes_total", outcome="wrong")
    right, wrong = reward(http, *items, shape="step", blend=blend)
    assert right["outcome"] == {"outcome": "right", "reward": 1.0, "found": "18", "reason": ""}
    assert right["reward"] == pytest.approx(0.5 * right["score"] + 2.0)
    assert right["total"] == pytest.approx(0.5 * sum(step["reward"] for step in right["steps"]) + 2.0)
    assert (wrong["outcome"]["outcome"], wrong["outcome"]["found"], wrong["reward"]) == ("wrong", "17", -1.0)
    assert wrong["total"] == pytest.approx(-1.0)
    assert right["signs"]["gap"] == pytest.approx(right["score"] - 1)
    assert wrong["signs"]["gap"] == pytest.approx(wrong["score"])
    assert metric(http, "stepscore_outcomes_total", outcome="wrong") == outcomes + 1
    assert metric(http, "stepscore_outcome_gap_count", model="tiny") >= 2


def test_clipping_comes_before_shape_and_aggregate(http: httpx.Client) -> None:
    (found,) = reward(http, ITEM, shape="delta", aggregate="min", blend={"clip": [0.4, 0.45]})
    clipped = [min(max(step["reward"], 0.4), 0.45) for step in found["steps"]]
    assert found["score"] == min(clipped)
    assert found["total"] == pytest.approx(clipped[-1], abs=1e-9)


def test_signs_of_reward_hacking_are_named_and_counted(http: httpx.Client) -> None:
    text = "Janet sells 9 eggs.\n\nThank you!\n\nJanet sells 9 eggs.\n\nSo <|im_start|> 18."
    names = ("repeated_steps", "steps_without_content", "marker_text")
    before = [metric(http, "stepscore_hacking_signs_total", sign=name) for name in names]
    (found,) = reward(http, {"problem": PROBLEM, "solution": text})
    assert found["signs"] == {"repeated_steps": [2], "steps_without_content": [1], "marker_text": [3]}
    after = [metric(http, "stepscore_hacking_signs_total", sign=name) for name in names]
    assert after == [count + 1 for count in before]


def test_the_correlation_of_rewards_with_length_is_that_of_the_request(http: httpx.Client) -> None:
    texts = [TEXT, TEXT[:43], TEXT + "\n\nDone.\n\nYes."]
    body = {"items": [{"problem": PROBLEM, "solution": text} for text in texts]}
    answer = http.post("/v1/reward", json=body).json()
    rewards, lengths = [each["reward"] for each in answer["results"]], [len(text) for text in texts]
    mean, middle = sum(rewards) / 3, sum(lengths) / 3
    covariance = sum((a - mean) * (b - middle) for a, b in zip(rewards, lengths, strict=True))
    spread = math.sqrt(sum((a - mean) ** 2 for a in rewards) * sum((b - middle) ** 2 for b in lengths))
    assert answer["length_correlation"]["characters"] == pytest.approx(covariance / spread)
    assert metric(http, "stepscore_reward_length_correlation", model="tiny") == pytest.approx(covariance / spread)
    alone = http.post("/reward", json={"items": [ITEM]}).json()
    assert alone["length_correlation"] == {}


def test_score_includes_token_rewards_on_request(http: httpx.Client) -> None:
    ids, offsets = offsets_of(TEXT)
    found = reward_of(http, include=["token_rewards"], offsets=offsets, shape="step")
    assert len(found["token_rewards"]) == len(ids)
    assert [each for each in found["token_rewards"] if each] == found["rewards"]
    assert [found["token_rewards"][end - 1] for _, end in found["step_tokens"]] == found["rewards"]
    named = reward_of(http, include=["token_rewards"], tokenizer="policy", shape="step", from_step=2)
    assert named["token_ids"] == ids
    assert named["token_rewards"] == pytest.approx(found["token_rewards"], abs=1e-5), "those of the whole solution"
    assert len(named["rewards"]) == 1
    assert "token_rewards" not in reward_of(http)


def test_score_refuses_token_options_without_token_rewards_and_the_other_way_round(http: httpx.Client) -> None:
    answer = http.post("/score", json={**ITEM, "shape": "delta"})
    assert (answer.status_code, "token_rewards" in answer.text) == (422, True)
    bare = http.post("/score", json={**ITEM, "include": ["token_rewards"]})
    assert (bare.status_code, bare.json()["code"]) == (422, "tokens_mismatch")


def test_drift_of_a_policy_that_changes_its_ways(http: httpx.Client) -> None:
    def play(version: str, texts: list[str]) -> None:
        items = [{"problem": PROBLEM, "solution": text} for text in texts]
        assert http.post("/score", json={"items": items}, headers={"X-Policy-Version": version}).is_success

    first = [f"Janet sells {n} - 3 = {n - 3} eggs.\n\nSo {n - 3}." for n in range(20)]
    play("step-1", first)
    play("step-2", first[::-1])
    play("step-3", ["Thank you!\n\nHappy birthday to you and your ducks!"] * 20)
    (model,) = http.get("/v1/drift").json()["data"]
    assert (model["reference_version"], model["reference_scores"], model["aggregate"]) == ("step-1", 20, "prod")
    same, other, gone = model["versions"]
    assert (same["psi"], same["ks"], same["ks_p_value"]) == (pytest.approx(0, abs=1e-9), 0.0, 1.0)
    assert other["ks"] <= 0.1, "rounding alone"
    assert gone["psi"] > 1
    assert gone["ks"] >= 0.5
    assert sum(gone["histogram"]) == sum(model["reference_histogram"]) == 20
    assert metric(http, "stepscore_score_drift_psi", model="tiny") == pytest.approx(gone["psi"])
    assert metric(http, "stepscore_score_drift_ks", model="tiny") == pytest.approx(gone["ks"])
    assert "step-3" not in http.get("/metrics").text, "versions are no label"


def test_each_key_sees_its_own_versions(folder: Path, tmp_path: Path) -> None:
    keys, file = {name: make_key() for name in ("one", "two")}, tmp_path / "keys.jsonl"
    made = [ApiKey(name=name, sha256=digest_of(key), scopes=frozenset({"score"})) for name, key in keys.items()]
    file.write_text("".join(each.model_dump_json() + "\n" for each in made))
    with live({"tiny": torch_scorer(folder, "tiny")}, api_keys=file) as url, connect(url) as client:
        for name, key in keys.items():
            headers = {"Authorization": f"Bearer {key}", "X-Policy-Version": f"of-{name}"}
            assert client.post("/score", json=ITEM, headers=headers).is_success
        for name, key in keys.items():
            (model,) = client.get("/v1/drift", headers={"Authorization": f"Bearer {key}"}).json()["data"]
            assert [each["version"] for each in model["versions"]] == [f"of-{name}"]
            assert model["reference_version"] == f"of-{name}"
        assert client.get("/v1/drift").status_code == 401


def test_a_request_without_a_version_is_not_compared(http: httpx.Client, folder: Path) -> None:
    before = http.get("/v1/drift").json()
    reward_of(http)
    assert http.get("/v1/drift").json() == before
    refused = http.post("/score", json=ITEM, headers={"X-Policy-Version": "v" * 65})
    assert refused.status_code == 422
