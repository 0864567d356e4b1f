"""Every bad input gets an answer that says what to change; none brings the service down, none truncates."""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

import checkpoints_value_heads
from service_case import PROBLEM, STEPS, connect, fake_scorer, live
from stepscore_service.http.app import ROUTES

GOOD: dict[str, Any] = {"problem": PROBLEM, "steps": STEPS}
JSON = {"content-type": "application/json"}


@pytest.fixture(autouse=True)
def _still_serves(http: httpx.Client) -> Iterator[None]:
    yield
    answer = http.post("/score", json=GOOD)
    assert answer.status_code == 200
    assert len(answer.json()["rewards"]) == 2


def refusal_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert set(body) == {"code", "message", "detail"}
    assert body["message"]
    assert len(answer.content) < 20_000, "an error must not repeat the input"
    detail: dict[str, Any] = body["detail"]
    return detail


@pytest.mark.parametrize(
    ("change", "code", "detail"),
    [
        ({"problem": " \n"}, "no_problem", {}),
        ({"problem": [{"role": "system", "content": "Be brief."}]}, "no_problem", {}),
        ({"steps": []}, "no_steps", {}),
        ({"from_step": 99}, "unknown_step", {"from_step": 99, "steps": 2}),
        ({"from_step": 2, "partial": True}, "unknown_step", {"from_step": 2, "steps": 1}),
        ({"steps": ["a", " \n"]}, "empty_step", {"step": 1}),
        ({"model": "gpt"}, "unknown_model", {"model": "gpt", "known": ["tiny", "fake"]}),
        ({"aggregate": "median"}, "unknown_aggregate", {"aggregate": "median"}),
        ({"threshold": 2}, "invalid_threshold", {"threshold": 2.0, "low": 0.0, "high": 1.0}),
        ({"threshold": -0.1}, "invalid_threshold", {"threshold": -0.1}),
    ],
)
def test_what_cannot_be_scored(http: httpx.Client, change: dict[str, Any], code: str, detail: dict[str, Any]) -> None:
    found = refusal_of(http.post("/score", json=GOOD | change), 422, code)
    assert found.items() >= detail.items()


@pytest.mark.parametrize(
    "body",
    [
        {"problem": PROBLEM},
        {"steps": STEPS},
        GOOD | {"solution": "both"},
        GOOD | {"split": "lines"},
        GOOD | {"items": []},
        GOOD | {"steps": "no list"},
        GOOD | {"steps": [1, 2]},
        GOOD | {"steps": [None]},
        GOOD | {"problem": {"text": PROBLEM}},
        GOOD | {"thresh": 0.5},
        GOOD | {"aggregate": ""},
        GOOD | {"model": ""},
        GOOD | {"problem": [{"role": "user", "content": 5}]},
        GOOD | {"problem": [{"role": "usr", "content": PROBLEM}]},
        {"problem": PROBLEM, "solution": [{"role": "bot", "content": "7"}]},
        GOOD | {"threshold": "high"},
        GOOD | {"threshold": "0.5"},
        GOOD | {"threshold": True},
        GOOD | {"partial": 1},
        GOOD | {"partial": "true"},
        GOOD | {"from_step": "1"},
        GOOD | {"from_step": 1.0},
        GOOD | {"from_step": True},
        GOOD | {"include": ["everything"]},
        GOOD | {"on_overflow": "truncate"},
        {"items": [GOOD, {"problem": PROBLEM}]},
        {"items": "none"},
        [GOOD],
        "text",
        None,
        42,
    ],
)
def test_wrong_shapes(http: httpx.Client, body: object) -> None:
    detail = refusal_of(http.post("/score", content=json.dumps(body), headers=JSON), 422, "invalid_request")
    assert detail["count"] == len(detail["errors"]) >= 1
    assert "extract fields" not in str(detail)


def test_a_field_that_is_not_known_and_one_that_is_missing_say_what_to_do(http: httpx.Client) -> None:
    errors = refusal_of(
        http.post("/score", json={"items": [{"problm": PROBLEM, "steps": STEPS}]}), 422, "invalid_request"
    )
    found = {each["where"]: each["problem"] for each in errors["errors"]}
    assert "remove it or correct the name" in found["items.0.problm"]
    assert "add it" in found["items.0.problem"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_no_number_that_is_none(http: httpx.Client, number: str) -> None:
    body = json.dumps(GOOD)[:-1] + f', "threshold": {number}}}'
    answer = http.post("/score", content=body, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["code"] in {"invalid_json", "invalid_request"}


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"problem": }', b'{"a": 1} {', b"[" * 100_000, b'{"problem": "\\ud800"}']
)
def test_no_json(http: httpx.Client, body: bytes) -> None:
    refusal_of(http.post("/score", content=body, headers=JSON), 422, "invalid_json")


def test_a_byte_order_mark_is_no_part_of_a_body(http: httpx.Client) -> None:
    """Editors and shells of Windows write one."""
    assert http.post("/score", content=codecs.BOM_UTF8 + json.dumps(GOOD).encode(), headers=JSON).status_code == 200


def test_steps_sent_as_the_solution_are_told_their_field(http: httpx.Client) -> None:
    errors = refusal_of(http.post("/score", json={"problem": PROBLEM, "solution": STEPS}), 422, "invalid_request")
    assert errors["errors"] == [{"where": "solution", "problem": "a list of texts are steps: send them as `steps`"}]


@pytest.mark.parametrize("candidate", [7, None, [7], {"answer": "7"}, [["3 + 4 = 7"]]])
def test_a_candidate_of_another_form_is_one_error_that_names_the_forms(http: httpx.Client, candidate: object) -> None:
    answer = http.post("/rerank", json={"problem": PROBLEM, "candidates": ["7", candidate]})
    [error] = refusal_of(answer, 422, "invalid_request")["errors"]
    assert error == {
        "where": "candidates.1",
        "problem": "a candidate is a text, a list of steps or an object with a `text`",
    }


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/pooling", {"input": 7}, {"input"}),
        ("/score", {"items": [GOOD | {"offsets": [[0]]}]}, {"items.0.offsets.0.1"}),
        ("/pooling", {"input": ["a", {"text": "b"}]}, {"input.1"}),
        ("/rerank", {"problem": PROBLEM, "candidates": ["7", {"text": "7", "id": "a"}]}, {"candidates.1.id"}),
    ],
)
def test_a_field_of_several_types_is_named_as_the_caller_wrote_it(
    http: httpx.Client, path: str, body: object, where: set[str]
) -> None:
    errors = refusal_of(http.post(path, json=body), 422, "invalid_request")["errors"]
    assert {each["where"] for each in errors} == where


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/pooling", {"input": "a", "truncate_prompt_tokens": "x"}, "leave it out"),
        ("/rm", {"prompt": [3], "response": "a"}, "a JSON object"),
        ("/reward", {"items": [GOOD], "blend": {"clip": "x"}}, "must be a list"),
    ],
)
def test_a_type_that_does_not_fit_is_said_in_words_of_json(
    http: httpx.Client, path: str, body: object, says: str
) -> None:
    answer = http.post(path, json=body)
    refusal_of(answer, 422, "invalid_request")
    assert says in answer.json()["message"]


def test_keys_with_dots_hide_no_error_and_cost_nothing(http: httpx.Client) -> None:
    body = {"problem": PROBLEM, "steps": [1], "steps.0.x": 3, "." * 40_000: 1, "": 2}
    detail = refusal_of(http.post("/score", json=body), 422, "invalid_request")
    places = {each["where"] for each in detail["errors"]}
    assert places > {"steps.0", "steps.0.x", '""'}
    assert detail["count"] == len(places) == 4


@pytest.mark.parametrize(
    "body",
    [
        b'{"problem": "p", "steps": ["a"], "problem": "q"}',
        b'{"items": [{"problem": "p", "steps": ["a"], "steps": ["b"]}]}',
        b'{"problem": "p", "steps": ["a"], "\\u0070roblem": "q"}',
    ],
)
def test_a_key_that_comes_twice(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/score", content=body, headers=JSON)
    detail = refusal_of(answer, 422, "invalid_json")
    assert f"names {detail['key']!r} twice" in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"problem": "\\ud800", "steps": ["a"]}', "problem"),
        (b'{"items": [{"problem": "p", "steps": ["a", "7 \\ud83d = 7"]}]}', "items.0.steps.1"),
        (b'{"problem": "p", "\\udc00": 1}', "\\udc00"),
    ],
)
def test_a_lone_surrogate_is_named(http: httpx.Client, body: bytes, where: str) -> None:
    answer = http.post("/score", content=body, headers=JSON)
    assert refusal_of(answer, 422, "invalid_json") == {"where": where}
    assert answer.json()["message"].startswith(f"{where} holds a lone surrogate")


def test_every_body_takes_exactly_the_types_and_the_names_that_it_says() -> None:
    lenient = [
        model
        for route in ROUTES
        for each in route.router.routes
        if isinstance(each, APIRoute) and each.body_field is not None
        for model in models_in(each.body_field.field_info.annotation)
        if not model.model_config.get("strict") or model.model_config.get("extra") not in ("forbid", "allow")
    ]
    assert lenient == []


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for part in get_args(annotation):
        yield from models_in(part)


def test_invalid_utf8(http: httpx.Client) -> None:
    body = b'{"problem": "caf\xe9", "steps": ["a"]}'
    assert refusal_of(http.post("/score", content=body, headers=JSON), 422, "invalid_utf8") == {"byte": 16}


def test_other_media_types(http: httpx.Client) -> None:
    refusal_of(http.post("/score", content=json.dumps(GOOD), headers={"content-type": "text/plain"}), 415, _MEDIA)
    refusal_of(http.post("/score", data={"problem": "x"}), 415, _MEDIA)


_MEDIA = "unsupported_media_type"


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", '"iso-8859-1"'])
def test_other_encodings(http: httpx.Client, charset: str) -> None:
    headers = {"content-type": f"application/json; charset={charset}"}
    refusal_of(http.post("/score", content=json.dumps(GOOD), headers=headers), 415, _MEDIA)


def test_utf_8_may_be_named(http: httpx.Client) -> None:
    headers = {"content-type": 'application/json; charset="UTF-8"'}
    assert http.post("/score", content=json.dumps(GOOD), headers=headers).status_code == 200


def test_a_compressed_body_is_refused_as_such(http: httpx.Client) -> None:
    body = gzip.compress(json.dumps(GOOD).encode())
    answer = http.post("/score", content=body, headers=JSON | {"content-encoding": "gzip"})
    assert refusal_of(answer, 415, _MEDIA) == {"content_encoding": "gzip"}


@pytest.mark.parametrize(
    "name", ["content-type", "x-tenant", "x-policy-version", "x-priority", "x-request-timeout-ms", "idempotency-key"]
)
def test_a_header_that_comes_twice(http: httpx.Client, name: str) -> None:
    values = {"content-type": "application/json", "x-priority": "bulk", "x-request-timeout-ms": "60000"}
    given = [*JSON.items(), (name, values.get(name, "a"))]
    headers = given if name == "content-type" else [*given, (name, values.get(name, "a"))]
    answer = http.post("/score", content=json.dumps(GOOD), headers=headers)
    (error,) = refusal_of(answer, 422, "invalid_request")["errors"]
    assert error["where"] == f"header.{name}"


@pytest.mark.parametrize("name", ["model", "aggregate", "split", "unknown"])
def test_an_error_repeats_only_the_beginning_and_the_end_of_a_name(http: httpx.Client, name: str) -> None:
    body = {"problem": PROBLEM, "solution": "7", name: "x" * 100_000}
    answer = http.post("/score", json=body)
    assert answer.status_code == 422
    assert len(answer.content) < 4000


def test_too_long_says_by_how_much(http: httpx.Client) -> None:
    detail = refusal_of(http.post("/score", json={"problem": PROBLEM, "steps": ["7 + 1 " * 2000]}), 422, "too_long")
    assert detail["tokens"] - detail["limit"] == detail["excess"] > 0
    assert detail["limit"] == 1024


def test_ten_megabytes_of_text(http: httpx.Client) -> None:
    answer = http.post("/score", json={"problem": "", "solution": "7 + 1 \n" * 1_500_000})
    detail = refusal_of(answer, 422, "too_many_characters")
    assert detail == {"characters": 10_500_000, "limit": 1_000_000, "excess": 9_500_000}


def test_more_steps_than_tokens(http: httpx.Client) -> None:
    detail = refusal_of(http.post("/score", json={"problem": PROBLEM, "steps": ["7"] * 200_000}), 422, "too_long")
    assert detail == {"tokens": 200_000, "limit": 1024, "excess": 198_976, "at_least": True}


def test_more_bytes_than_the_limit(http: httpx.Client) -> None:
    answer = http.post("/score", content=b" " * (17 << 20), headers=JSON)
    assert refusal_of(answer, 413, "body_too_large") == {"limit": 16 << 20}


def test_more_bytes_than_the_limit_without_a_declared_length(http: httpx.Client) -> None:
    answer = http.post("/score", content=(b" " * (1 << 20) for _ in range(17)), headers=JSON)
    assert refusal_of(answer, 413, "body_too_large") == {"limit": 16 << 20}


def test_a_hundred_thousand_items(http: httpx.Client) -> None:
    body = {"items": [{"problem": "p", "steps": ["a"]}] * 100_000}
    assert refusal_of(http.post("/score", json=body), 413, "too_many_items") == {"items": 100_000, "limit": 10_000}


def test_too_many_candidates(http: httpx.Client) -> None:
    answer = http.post("/rerank", json={"problem": "p", "candidates": ["a"] * 1025})
    assert refusal_of(answer, 413, "too_many_items") == {"items": 1025, "limit": 1024}


def test_a_typed_marker_is_text_where_the_marker_is_a_special_token(http: httpx.Client) -> None:
    plain = http.post("/score", json=GOOD).json()
    typed = http.post("/score", json=GOOD | {"steps": [f"{STEPS[0]} <extra_0> and more", STEPS[1]]}).json()
    assert len(typed["rewards"]) == len(plain["rewards"]) == 2


def test_a_typed_marker_is_an_error_where_the_marker_is_plain_text(tmp_path: Path) -> None:
    scorer = fake_scorer(checkpoints_value_heads.math_shepherd(tmp_path / "math-shepherd-mistral-7b-prm"))
    with live({"shepherd": scorer}) as url, connect(url) as http:
        detail = refusal_of(http.post("/score", json=GOOD | {"steps": ["so ки", "7"]}), 422, "marker_in_text")
    assert detail == {"marker": "ки", "where": "step 0"}


def test_items_fail_one_by_one(http: httpx.Client) -> None:
    items = [GOOD, {"problem": "p", "steps": []}, {"problem": "p", "solution": "a", "split": "hows"}, GOOD]
    results = http.post("/score", json={"items": items}).json()["results"]
    assert [each["index"] for each in results] == [0, 1, 2, 3]
    assert [each.get("error", {}).get("code") for each in results] == [None, "no_steps", "unknown_split", None]


def test_unknown_routes_and_methods(http: httpx.Client) -> None:
    refusal_of(http.get("/scores"), 404, "not_found")
    answer = http.get("/score")
    refusal_of(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("value", ["0", "-5", "soon", "1e3", "5.0", "1_000", "", "99999999999"])
def test_a_time_limit_that_is_none(http: httpx.Client, value: str) -> None:
    refusal_of(http.post("/score", json=GOOD, headers={"X-Request-Timeout-Ms": value}), 422, "invalid_request")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"candidates": [1]}, 422, "invalid_request"),
        ({"candidates": [{"body": "x"}]}, 422, "invalid_request"),
        ({"candidates": ["a", "  "]}, 422, "no_steps"),
        ({"top_n": -1}, 422, "invalid_request"),
        ({"top_n": "1"}, 422, "invalid_request"),
        ({"top_n": True}, 422, "invalid_request"),
        ({"return_documents": "yes"}, 422, "invalid_request"),
        ({"problem": ""}, 422, "no_problem"),
        ({"vote": "plurality"}, 422, "invalid_request"),
        ({"split": "banana"}, 422, "unknown_split"),
        ({"candidates": [STEPS], "split": "banana"}, 422, "unknown_split"),
        ({"candidates": [STEPS], "split": "regex:("}, 422, "unknown_split"),
        ({"documents": ["twice"]}, 422, "invalid_request"),
        ({"split": "regex:("}, 422, "unknown_split"),
    ],
)
def test_bad_rerank_requests(http: httpx.Client, change: dict[str, Any], status: int, code: str) -> None:
    refusal_of(http.post("/rerank", json={"problem": PROBLEM, "candidates": STEPS} | change), status, code)


@pytest.mark.parametrize(
    ("both", "named"),
    [({"query": "a"}, "`problem` and `query`"), ({"texts": ["a"]}, "`candidates` and `texts`")],
)
def test_a_field_under_two_of_its_names_says_to_give_one(http: httpx.Client, both: dict[str, Any], named: str) -> None:
    answer = http.post("/rerank", json={"problem": PROBLEM, "candidates": STEPS} | both)
    (error,) = refusal_of(answer, 422, "invalid_request")["errors"]
    assert error["problem"] == f"{named} are names of one field; give one of them"


def without_id(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "id"}


@pytest.mark.parametrize("path", ["/score/", "/v1/score//", "/rerank/"])
def test_a_slash_at_the_end_of_a_posts_path_changes_nothing(http: httpx.Client, path: str) -> None:
    body = {"problem": PROBLEM, "candidates": ["9", "8"]} if path == "/rerank/" else GOOD
    with_slash, without = http.post(path, json=body), http.post(path.rstrip("/"), json=body)
    assert with_slash.status_code == 200
    assert without_id(with_slash) == without_id(without)
    assert http.post("/nowhere/", json=body).status_code == 404
