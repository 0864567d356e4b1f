"""The views for trainers: the number of /score in each one's own shape, and what becomes of what cannot be scored."""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_case import PROBLEM, STEPS, connect, fake_scorer, live, metric
from stepscore.aggregate import AGGREGATES
from stepscore_service.errors import error_classes
from stepscore_service.http.app import ROUTES
from stepscore_service.settings import FORMATS, Settings

PROMPT = f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{PROBLEM}<|im_end|>\n<|im_start|>assistant\n"
END = "<|im_end|>\n"
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROBLEM}]
Body = dict[str, Any]


def nemo_gym(text: str) -> Body:
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    reasoning = {"type": "reasoning", "summary": []}
    return {"responses_create_params": {"input": ASKED}, "response": {"id": "r", "output": [reasoning, message]}}


def tensors(**texts: list[str]) -> Body:
    rows = [{"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data} for name, data in texts.items()]
    return {"inputs": rows}


VIEWS: dict[str, tuple[str, Callable[[str], Body], Callable[[Any], float]]] = {
    "openrlhf": (
        "/get_reward",
        lambda text: {"query": [PROMPT + text + END], "prompts": [PROMPT], "labels": ["18"]},
        lambda answer: answer["rewards"][0],
    ),
    "openrlhf-without-prompts": (
        "/get_reward",
        lambda text: {"query": [PROMPT + text + END]},
        lambda answer: answer["scores"][0],
    ),
    "slime": ("/rm", lambda text: {"prompt": PROMPT, "response": text + END, "label": "18"}, float),
    "slime-messages": ("/rm", lambda text: {"prompt": ASKED, "response": text, "label": None}, float),
    "llama_factory": (
        "/v1/score/evaluation",
        lambda text: {"model": "model", "messages": [PROMPT + text + END]},
        lambda answer: answer["scores"][0],
    ),
    "verl-vllm": (
        "/classify",
        lambda text: {"model": "tiny", "input": PROMPT + text + END, "activation": False},
        lambda answer: answer["data"][-1]["probs"][-1],
    ),
    "verl-sglang": (
        "/v1/embeddings",
        lambda text: {"model": "tiny", "input": PROMPT + text + END},
        lambda answer: answer["data"][-1]["embedding"][-1],
    ),
    "nemo_gym": ("/verify", nemo_gym, lambda answer: answer["reward"]),
    "tei": ("/tei/rerank", lambda text: {"query": PROBLEM, "texts": [text]}, lambda answer: answer[0]["score"]),
    "kserve": (
        "/v2/models/tiny/infer",
        lambda text: tensors(problem=[PROBLEM], solution=[text]),
        lambda answer: answer["outputs"][0]["data"][0],
    ),
}
EVERY = pytest.mark.parametrize("view", sorted(VIEWS))
TENSORS = tensors(problem=[PROBLEM], steps=STEPS)


def expected_score(http: httpx.Client, text: str, **options: str) -> float:
    answer = http.post("/score", json={"problem": PROBLEM, "solution": text, **options}).json()
    return float(answer["score"])


def post(http: httpx.Client, view: str, text: str, query: str = "") -> httpx.Response:
    path, body, _ = VIEWS[view]
    return http.post(path + query, json=body(text))


@EVERY
@pytest.mark.parametrize("text", ["\n".join(STEPS), "She sells 16 - 3 ="])
def test_a_view_gives_the_number_of_score(http: httpx.Client, view: str, text: str) -> None:
    answer = post(http, view, text)
    assert answer.status_code == 200, answer.text
    assert VIEWS[view][2](answer.json()) == pytest.approx(expected_score(http, text), abs=1e-6)


THOUGHTS = {
    "apart": "<think>\n16 - 3 = 13.\n13 - 4 = 9.\n</think>\nShe sells 9 eggs.\nShe makes $18.",
    "inline": "<think>16 - 3 = 13.\n13 - 4 = 9.</think>She sells 9 eggs.\nShe makes $18.",
}
"""As R1 writes its thinking, and with tags that share lines with it."""


@pytest.mark.parametrize("name", sorted(THOUGHTS))
@pytest.mark.parametrize("view", sorted(VIEWS.keys() - {"tei", "kserve"}))
def test_tags_of_thinking_are_no_steps_and_join_none(http: httpx.Client, view: str, name: str) -> None:
    answer = VIEWS[view][2](post(http, view, THOUGHTS[name], "?aggregate=mean").json())
    lines = ["16 - 3 = 13.", "13 - 4 = 9.", "She sells 9 eggs.", "She makes $18."]
    apart = {"problem": PROBLEM, "solution": THOUGHTS["apart"], "aggregate": "mean"}
    bare = {"problem": PROBLEM, "steps": lines, "aggregate": "mean"}
    assert answer == pytest.approx(http.post("/score", json=apart).json()["score"], abs=1e-6)
    assert answer == pytest.approx(http.post("/score", json=bare).json()["score"], abs=1e-6)


@pytest.mark.parametrize("view", ["openrlhf", "slime", "roll"])
def test_thinking_that_the_prompt_opened_is_dropped(http: httpx.Client, view: str) -> None:
    """The tag in the prompt is the only one if the completion was cut before the thinking ended."""
    prompt, cut = PROMPT + "<think>\n", "16 - 3 = 13, so"
    bodies: dict[str, tuple[str, Body]] = {
        "openrlhf": ("/get_reward", {"query": [prompt + cut], "prompts": [prompt]}),
        "slime": ("/rm", {"prompt": prompt, "response": cut, "label": None}),
        "roll": ("/roll/submit", {"prompt": prompt, "response": cut}),
    }
    path, body = bodies[view]
    answer = http.post(f"{path}?thinking=drop", json=body)
    if view == "roll":
        assert "no_steps" in wait_for_roll(http, answer.json()["reward_request_id"])["errmsg"]
    else:
        assert (answer.status_code, answer.json()["code"]) == (422, "no_steps")


def wait_for_roll(http: httpx.Client, key: str) -> Body:
    while (found := http.request("GET", "/roll/result", json={"reward_request_id": key}).json())["errcode"] == 1:
        time.sleep(0.01)
    return dict(found)


UNKNOWN_TEMPLATE = f"<|start|>user<|message|>{PROBLEM}<|end|><|start|>assistant"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/get_reward", {"query": [UNKNOWN_TEMPLATE + STEPS[0]], "prompts": [UNKNOWN_TEMPLATE]}),
        ("/rm", {"prompt": UNKNOWN_TEMPLATE, "response": STEPS[0]}),
        ("/roll/submit", {"prompt": UNKNOWN_TEMPLATE, "response": STEPS[0]}),
    ],
)
def test_a_prompt_in_a_template_that_is_not_known_is_no_problem_to_score(
    http: httpx.Client, path: str, body: Body
) -> None:
    answer = http.post(f"{path}?on_error=lowest", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_chat")
    assert "<|start|>" in answer.json()["message"]


def test_a_named_template_that_a_text_does_not_have_is_an_error(folder: Path) -> None:
    with live({"tiny": fake_scorer(folder, "tiny")}, chat_template="llama3") as url, connect(url) as http:
        answer = http.post("/rm", json={"prompt": PROMPT, "response": STEPS[0]})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_chat")
        assert http.post("/rm", json={"prompt": PROBLEM, "response": STEPS[0]}).is_success


@EVERY
def test_the_url_says_how_to_aggregate(http: httpx.Client, view: str) -> None:
    text = "\n".join(STEPS)
    answer = post(http, view, text, "?aggregate=last")
    assert VIEWS[view][2](answer.json()) == pytest.approx(expected_score(http, text, aggregate="last"), abs=1e-6)
    assert post(http, view, text, "?aggregate=best").json()["code"] == "unknown_aggregate"


@EVERY
def test_an_item_that_cannot_be_scored_is_an_error_and_the_lowest_reward_only_on_request(
    http: httpx.Client, view: str
) -> None:
    before = metric(http, "stepscore_errors_total", code="no_steps")
    refused = post(http, view, " ")
    assert (refused.status_code, refused.json()["code"], refused.json()["detail"]["item"]) == (422, "no_steps", 0)
    assert metric(http, "stepscore_errors_total", code="no_steps") > before
    assert VIEWS[view][2](post(http, view, " ", "?on_error=lowest").json()) == 0.0


@pytest.mark.parametrize("query", ["aggregate=min", "on_error=lowest"])
def test_an_option_without_a_place_in_rows_of_steps_is_refused(http: httpx.Client, query: str) -> None:
    body = {"model": "tiny", "input": PROMPT + STEPS[0]}
    answer = http.post(f"/pooling?{query}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/get_reward", {"query": [PROMPT + STEPS[0]], "prompts": [PROMPT], "labels": ["18", "19"]}, "labels"),
        ("/get_reward", {"query": [PROMPT + STEPS[0]] * 2, "prompts": [PROMPT]}, "prompts"),
        ("/v1/score/evaluation", {"messages": [PROMPT + STEPS[0]], "max_length": 16}, "max_length"),
    ],
)
def test_what_a_trainer_asks_for_and_does_not_get_is_named(
    http: httpx.Client, path: str, body: Body, said: str
) -> None:
    answer = http.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert said in answer.json()["message"]


@EVERY
def test_a_failure_of_the_service_is_never_a_number(folder: Path, view: str) -> None:
    def fail(batch: object) -> None:
        raise MemoryError("no memory")

    with live({"tiny": fake_scorer(folder, "tiny", before_forward=fail)}) as url, connect(url) as http:
        answer = post(http, view, STEPS[0], "?on_error=lowest")
    assert (answer.status_code, answer.json()["code"]) == (500, "engine_failed")


@pytest.mark.parametrize("view", sorted(VIEWS.keys() - {"tei", "kserve"}))
def test_thinking_is_scored_unless_the_url_says_so(http: httpx.Client, view: str) -> None:
    text = f"<think>{STEPS[0]}</think>{STEPS[1]}"
    kept, dropped = (VIEWS[view][2](post(http, view, text, query).json()) for query in ("", "?thinking=drop"))
    assert kept == pytest.approx(expected_score(http, "\n".join(STEPS)), abs=1e-6)
    assert dropped == pytest.approx(expected_score(http, STEPS[1]), abs=1e-6)


def test_openrlhf_sends_empty_lists_to_its_further_servers(http: httpx.Client) -> None:
    answer = http.post("/get_reward", json={"query": [], "prompts": [], "labels": []})
    assert (answer.status_code, answer.json()) == (200, {"rewards": [], "scores": [], "extra_logs": {}})


def test_openrlhf_logs_what_the_steps_got(http: httpx.Client) -> None:
    answer = http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).json()
    rewards = answer["rewards"]
    body = {"query": [PROMPT + "\n".join(STEPS) + END, PROMPT + END], "prompts": [PROMPT, PROMPT], "labels": ["", ""]}
    logs = http.post("/get_reward?on_error=lowest", json=body).json()["extra_logs"]
    first = -1 if answer.get("first_error") is None else answer["first_error"]
    assert {name: row[0] for name, row in logs.items()} == pytest.approx(
        {
            "prm_min": min(rewards),
            "prm_mean": sum(rewards) / 2,
            "prm_last": rewards[-1],
            "first_error": first,
            "steps": 2,
            "scored": 1,
        },
        abs=1e-6,
    )
    assert (logs["steps"][1], logs["scored"][1]) == (0, 0)


def test_slime_reads_a_dict_by_its_reward_key(http: httpx.Client) -> None:
    answer = post(http, "slime", "\n".join(STEPS), "?format=dict").json()
    assert answer["score"] == pytest.approx(expected_score(http, "\n".join(STEPS)), abs=1e-6)
    assert len(answer["steps"]) == 2
    assert answer["scored"]


def test_pooling_gives_two_numbers_a_step_and_takes_steps_that_are_marked(http: httpx.Client) -> None:
    marked = "".join(f"{step}<extra_0>" for step in STEPS)
    rewards = http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).json()["rewards"]
    chat = [*ASKED, {"role": "assistant", "content": marked}]
    for body in ({"input": [PROMPT + marked + END]}, {"messages": chat}):
        (item,) = http.post("/pooling", json={"model": "tiny", **body}).json()["data"]
        assert [row[1] for row in item["data"]] == pytest.approx(rewards, abs=1e-6)
        assert [sum(row) for row in item["data"]] == pytest.approx([1, 1])


def test_kserve_takes_steps_and_reports_health(http: httpx.Client) -> None:
    answer = http.post("/v2/models/tiny/infer", json={"id": "7", **tensors(problem=[PROBLEM], steps=STEPS)}).json()
    rewards = http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).json()["rewards"]
    found = {each["name"]: each for each in answer["outputs"]}
    assert (answer["id"], answer["model_name"]) == ("7", "tiny")
    assert found["rewards"]["data"] == pytest.approx(rewards, abs=1e-6)
    assert (found["rewards"]["shape"], found["steps"]["data"]) == ([2], [2])
    for path in ("", "/health/live", "/health/ready", "/models/tiny", "/models/tiny/ready"):
        assert http.get(f"/v2{path}").status_code == 200
    for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
        none = http.request(method, f"/v2/models/none{path}", json=tensors(problem=[PROBLEM], steps=STEPS))
        assert (none.status_code, none.json()["code"], none.json()["detail"]["model"]) == (404, "unknown_model", "none")


@pytest.mark.parametrize(
    "body",
    [
        tensors(problem=[PROBLEM]),
        tensors(problem=[PROBLEM, PROBLEM], steps=STEPS),
        tensors(problem=[PROBLEM, PROBLEM], solution=["a", "b", "c"]),
        {"inputs": [{"name": "problem", "shape": [1], "datatype": "FP32", "data": [1.0]}]},
        {"inputs": TENSORS["inputs"] + tensors(problem=["Another?"])["inputs"]},
        {"inputs": [TENSORS["inputs"][0], {**TENSORS["inputs"][1], "shape": [3]}]},
        {"inputs": [TENSORS["inputs"][0], {**TENSORS["inputs"][1], "shape": [-1, -2]}]},
        {"inputs": [TENSORS["inputs"][0], {**TENSORS["inputs"][1], "shape": []}]},
        {"inputs": TENSORS["inputs"] + tensors(prefix=["x"])["inputs"]},
        TENSORS | {"parameters": {"aggregate": "min"}},
        TENSORS | {"inputs": [{**each, "parameters": {"binary_data_size": 7}} for each in TENSORS["inputs"]]},
        TENSORS | {"outputs": [{"name": "reward"}]},
        TENSORS | {"outputs": [{"name": "score"}, {"name": "score"}]},
        TENSORS | {"outputs": [{"name": "score", "parameters": {"classification": 2}}]},
        TENSORS | {"model_name": "other"},
    ],
)
def test_kserve_tensors_that_do_not_fit_are_refused(http: httpx.Client, body: Body) -> None:
    answer = http.post("/v2/models/tiny/infer", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_kserve_answers_the_outputs_that_are_asked_for_and_takes_what_clients_send_besides(http: httpx.Client) -> None:
    outputs = [{"name": "steps"}, {"name": "score", "parameters": {"binary_data": False}}]
    body = TENSORS | {"outputs": outputs, "parameters": {"binary_data_output": True}, "model_name": "tiny"}
    answer = http.post("/v2/models/tiny/infer", json=body).json()
    assert [each["name"] for each in answer["outputs"]] == ["steps", "score"]


def test_tei_never_truncates(http: httpx.Client) -> None:
    body = {"query": PROBLEM, "texts": STEPS, "return_text": True}
    ranks = http.post("/tei/rerank", json=body).json()
    assert sorted(each["text"] for each in ranks) == sorted(STEPS)
    assert [each["score"] for each in ranks] == sorted((each["score"] for each in ranks), reverse=True)
    assert http.post("/tei/rerank", json={**body, "truncate": True}).status_code == 422
    assert http.get("/tei/info").json()["model_type"]["reranker"]["id2label"] == {"0": "score"}
    assert http.get("/tei/health").status_code == 200


def fetch(http: httpx.Client, ticket: Any) -> Any:
    deadline = time.monotonic() + 20
    while True:
        answer = http.request("GET", "/roll/result", json=ticket).json()
        if answer.get("errcode") != 1:
            return answer
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_roll_submits_and_asks_later(http: httpx.Client) -> None:
    body = {"priority": 0, "prompt": PROMPT, "response": "\n".join(STEPS), "reward_info": {}, "timeout": 60}
    ticket = http.post("/roll/submit", json=body).json()
    assert ticket["errcode"] == 0
    done = fetch(http, ticket)
    assert done["reward_score"] == pytest.approx(expected_score(http, "\n".join(STEPS)), abs=1e-6)
    assert done["end_time"] >= done["start_time"]
    failed = fetch(http, http.post("/roll/submit", json={**body, "response": ""}).json())
    assert (failed["errcode"], "reward_score" in failed, failed["errmsg"][:8]) == (2, False, "no_steps")
    unknown = http.request("GET", "/roll/result", json={"reward_request_id": "none"})
    assert unknown.status_code == 422


def test_roll_forgets_what_nobody_fetched_and_keeps_a_bounded_number(folder: Path) -> None:
    body = {"prompt": PROMPT, "response": STEPS[0], "timeout": 0.3}
    with live({"tiny": fake_scorer(folder, "tiny")}, max_items=1) as url, connect(url) as http:
        ticket = http.post("/roll/submit", json=body).json()
        full = http.post("/roll/submit", json=body)
        assert (full.status_code, full.json()["code"]) == (503, "overloaded")
        time.sleep(0.4)
        assert http.request("GET", "/roll/result", json=ticket).status_code == 422
        assert http.post("/roll/submit", json=body).status_code == 200


@pytest.mark.parametrize("view", ["verl-vllm", "verl-sglang"])
def test_a_model_that_is_not_served_is_named_in_the_error(http: httpx.Client, view: str) -> None:
    path, body, _ = VIEWS[view]
    other = http.post(path, json=body(STEPS[0]) | {"model": "other"})
    assert (other.status_code, other.json()["code"]) == (422, "unknown_model")
    assert http.post(f"{path}?model=tiny", json=body(STEPS[0]) | {"model": "other"}).status_code == 200


def test_each_format_is_a_view_with_a_tag_of_its_own_and_can_be_left_out(folder: Path) -> None:
    views = [route for route in ROUTES if hasattr(route, "FORMAT")]
    assert sorted(route.FORMAT for route in views) == sorted(FORMATS)
    with live({"tiny": fake_scorer(folder, "tiny")}, formats="slime, kserve") as url, connect(url) as http:
        assert post(http, "slime", STEPS[0]).status_code == 200
        assert post(http, "openrlhf", STEPS[0]).status_code == 404
        paths = http.get("/openapi.json").json()["paths"]
    tags = {tag for path in paths.values() for call in path.values() for tag in call.get("tags", [])}
    assert {"slime, miles", "KServe, Triton"} <= tags
    assert "OpenRLHF" not in tags
    with pytest.raises(ValueError, match="formats"):
        Settings(formats="openrhlf")  # type: ignore[arg-type]


INVITATION = "<|im_start|>assistant\n"
TEMPLATED = sorted(VIEWS.keys() - {"slime-messages", "nemo_gym", "tei", "kserve"})


@pytest.mark.parametrize("view", TEMPLATED)
def test_an_invitation_to_write_at_the_end_changes_no_reward(http: httpx.Client, view: str) -> None:
    text = "\n".join(STEPS)
    plain, invited = (VIEWS[view][2](post(http, view, each).json()) for each in (text, text + END + INVITATION))
    assert invited == pytest.approx(plain, abs=1e-6)
    assert post(http, view, END + INVITATION).json()["code"] == "no_steps"


def test_an_invitation_is_no_step_of_pooling_openrlhf_and_slime(http: httpx.Client) -> None:
    text = PROMPT + STEPS[0] + END + INVITATION
    assert len(http.post("/pooling", json={"input": text}).json()["data"][0]["data"]) == 1
    for prompts in ({}, {"prompts": [PROMPT]}):
        logs = http.post("/get_reward", json={"query": [text], **prompts}).json()["extra_logs"]
        assert logs["steps"] == [1]
    sample = {"prompt": PROMPT, "response": STEPS[0] + END + INVITATION}
    assert len(http.post("/rm?format=dict", json=sample).json()["steps"]) == 1


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("3 + 4 = 7<extra_0><extra_0>So 7.<extra_0>", 1),
        ("<extra_0>3 + 4 = 7<extra_0>", 0),
        ("3 + 4 = 7<extra_0> \n <extra_0>", 1),
        ("<extra_0>", 0),
    ],
)
def test_pooling_refuses_a_tag_without_a_step(http: httpx.Client, text: str, step: int) -> None:
    chat = [*ASKED, {"role": "assistant", "content": text}]
    for body in ({"input": PROMPT + text + END}, {"messages": chat}):
        answer = http.post("/pooling", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "empty_step")
        assert answer.json()["detail"] == {"item": 0, "step": step}


def test_pooling_drops_thinking_before_it_looks_for_tags(http: httpx.Client) -> None:
    body = {"input": f"{PROMPT}<think>{STEPS[0]}<extra_0></think>{STEPS[1]}<extra_0>{END}"}
    (item,) = http.post("/pooling?thinking=drop", json=body).json()["data"]
    rewards = http.post("/score", json={"problem": PROBLEM, "steps": STEPS[1:]}).json()["rewards"]
    assert [row[1] for row in item["data"]] == pytest.approx(rewards, abs=1e-6)


@pytest.mark.parametrize("view", ["openrlhf", "slime", "verl-vllm"])
def test_a_typed_tag_is_text_for_views_of_one_number(http: httpx.Client, view: str) -> None:
    text = "3 + 4 = 7<extra_0><extra_0>So 7.<extra_0>"
    assert VIEWS[view][2](post(http, view, text).json()) == pytest.approx(expected_score(http, text), abs=1e-6)


def test_an_option_in_the_url_that_a_route_does_not_know_is_refused_on_every_route_with_a_body(
    http: httpx.Client,
) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    routes = [(verb, path) for path, verbs in paths.items() for verb, each in verbs.items() if "requestBody" in each]
    assert {"/score", "/rerank", "/search", "/get_reward", "/rm", "/pooling"} <= {path for _, path in routes}
    for verb, path in routes:
        answer = http.request(verb, path.replace("{name}", "tiny") + "?agregate=min", json={})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), path
        assert answer.json()["message"].startswith("query.agregate: there is no such option; "), path


def test_a_refused_option_is_named_beside_those_that_are_known(http: httpx.Client) -> None:
    known = "model, aggregate, on_error, thinking"
    for view, query in (
        ("openrlhf", "?agregate=min"),
        ("openrlhf", "?Aggregate=min"),
        ("verl-vllm", "?on-error=lowest"),
    ):
        assert known in post(http, view, STEPS[0], query).json()["message"]
    assert "format" in post(http, "slime", STEPS[0], "?formt=dict").json()["message"]
    for query in ("?aggregat=sum", "?aggregate=sum"):
        answer = http.post("/score" + query, json={"problem": PROBLEM, "steps": STEPS})
        assert (answer.status_code, "no options" in answer.json()["message"]) == (422, True)


@pytest.mark.parametrize("query", ["?aggregate=min&aggregate=last", "?aggregate=", "?model=", "?aggregate", "?=min"])
def test_an_option_that_is_empty_or_comes_twice_is_refused(http: httpx.Client, query: str) -> None:
    answer = post(http, "openrlhf", STEPS[0], query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("path", ["/health", "/health/live", "/metrics", "/", "/v1/models", "/tei/health", "/v2"])
def test_routes_that_score_nothing_take_any_option(http: httpx.Client, path: str) -> None:
    assert http.get(f"{path}?probe=1").status_code == 200


@pytest.mark.parametrize("aggregate", sorted(AGGREGATES))
def test_openrlhf_filters_only_by_scores_that_must_lie_between_0_and_1(http: httpx.Client, aggregate: str) -> None:
    answer = post(http, "openrlhf", "\n".join(STEPS), f"?aggregate={aggregate}").json()
    assert answer.get("scores") == (None if aggregate == "sum" else answer["rewards"])
    assert post(http, "openrlhf", STEPS[0], "?aggregate=sum").json().get("scores") is None


@pytest.mark.parametrize("path", ["/classify", "/pooling", "/v1/embeddings"])
@pytest.mark.parametrize("ids", [[1, 2], [[1, 2], [3]], [[]], ["a text", 7]])
def test_token_ids_are_refused_with_what_to_send(http: httpx.Client, path: str, ids: list[Any]) -> None:
    answer = http.post(path, json={"model": "tiny", "input": ids})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "send the text" in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/classify", {"truncate_prompt_tokens": 8}),
        ("/classify", {"encoding_format": "base64"}),
        ("/classify", {"aggregate": "min"}),
        ("/pooling", {"truncate_prompt_tokens": -1}),
        ("/pooling", {"encoding_format": "base64"}),
        ("/pooling", {"task": "embed"}),
        ("/v1/embeddings", {"dimensions": 2}),
        ("/v1/embeddings", {"encoding_format": "int8"}),
        ("/v1/embeddings", {"normalize": True}),
        ("/v1/embeddings", {"dimensions": True}),
        ("/tei/rerank", {"truncation_direction": "up"}),
    ],
)
def test_an_engine_s_option_that_would_change_the_answer_is_refused(
    http: httpx.Client, path: str, options: Body
) -> None:
    body = {"query": PROBLEM, "texts": STEPS} if path == "/tei/rerank" else {"input": PROMPT + STEPS[0] + END}
    answer = http.post(path, json=body | options)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    (name,) = options
    assert name in answer.json()["message"]


def test_embeddings_are_base64_if_the_client_asks_for_it(http: httpx.Client) -> None:
    body = {"model": "tiny", "input": PROMPT + STEPS[0] + END, "dimensions": 1, "user": "u"}
    number, text = (
        http.post("/v1/embeddings", json=body | {"encoding_format": each}).json()["data"][0]["embedding"]
        for each in ("float", "base64")
    )
    assert struct.unpack("<f", base64.b64decode(text)) == pytest.approx(tuple(number), abs=1e-6)


SET_UP: dict[str, tuple[str, Body, str]] = {
    "no-template": ("/get_reward", {"query": [STEPS[0]]}, "invalid_chat"),
    "not-its-prompt": ("/get_reward", {"query": [PROMPT + STEPS[0]], "prompts": ["Another"]}, "invalid_chat"),
    "no-problem": ("/rm", {"prompt": " ", "response": STEPS[0]}, "no_problem"),
    "no-assistant": ("/classify", {"messages": ASKED}, "invalid_chat"),
    "text-alone": ("/v1/score/evaluation", {"messages": [STEPS[0]]}, "invalid_chat"),
}


@pytest.mark.parametrize("case", sorted(SET_UP))
def test_a_fault_of_the_set_up_is_never_the_lowest_reward(http: httpx.Client, case: str) -> None:
    path, body, code = SET_UP[case]
    answer = http.post(f"{path}?on_error=lowest", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_only_errors_of_a_text_become_the_lowest_reward() -> None:
    assert {code for code, error in error_classes().items() if error.of_text} == {
        "no_steps",
        "no_outcome",
        "empty_step",
        "marker_in_text",
        "marker_merged",
        "invalid_text",
        "too_long",
        "too_many_characters",
    }
