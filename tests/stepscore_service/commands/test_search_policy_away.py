"""`stepscore search` over a policy that is not there, is no policy, or goes away: what is finished stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import checkpoints
from cli_case import invoke
from completions_server import Server

SMALL = ("--dtype", "float32", "--in-flight", "2", "--method", "beam:n=2,width=2,rounds=2")
PROBLEMS = 6


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(checkpoints.qwen_math(tmp_path_factory.mktemp("away") / "prm"))


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    file = tmp_path / "problems.jsonl"
    rows = [{"problem": f"What is {n} + {n}?", "answer": 2 * n} for n in range(PROBLEMS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def completions(body: dict[str, Any]) -> tuple[int, Any]:
    """One step if the request stops at steps, else the end."""
    stop = body.get("stop", [None])[0]
    choices = [
        {"index": n, "text": f"Step {n}.", "finish_reason": "stop", "stop_reason": stop} for n in range(body["n"])
    ]
    return 200, {"choices": choices}


def dying_server(after: int) -> Server:
    """A policy that is closed while it answers its `after`-th call."""

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        if len(server.bodies) == after:
            server.close()
        return completions(body)

    server = Server(answer, keep_alive=False)
    return server


def search(problems: Path, url: str, prm: str, out: Path) -> Any:
    return invoke("search", str(problems), "--policy", url, "--model", prm, "--out", str(out), *SMALL)


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_policy_that_nobody_serves_ends_the_command_before_the_first_problem(
    problems: Path, prm: str, tmp_path: Path
) -> None:
    gone, out = Server(completions), tmp_path / "found.jsonl"
    gone.close()
    result = search(problems, gone.url, prm, out)
    said = " ".join(result.output.split())
    assert result.exit_code == 3, said
    assert f"{gone.url} did not answer after 5 attempts" in said
    assert "Stopped with 0 problems finished" in said
    assert rows_of(out) == []

    right = Server(completions)  # the address is corrected, and nothing stands in the way
    assert search(problems, right.url, prm, out).exit_code == 0
    right.close()
    assert len(rows_of(out)) == PROBLEMS


def test_a_policy_that_dies_midway_keeps_what_is_finished_and_the_same_command_continues(
    problems: Path, prm: str, tmp_path: Path
) -> None:
    out = tmp_path / "found.jsonl"
    server = dying_server(after=9)
    result = search(problems, server.url, prm, out)
    said = " ".join(result.output.split())
    assert result.exit_code == 3, said
    assert said.count("did not answer") == 1, said
    finished = rows_of(out)
    assert 0 < len(finished) < PROBLEMS
    assert not any("error" in row for row in finished)
    assert f"Stopped with {len(finished)} problem" in said

    back = Server(completions, port=server.port, keep_alive=False)
    again = search(problems, back.url, prm, out)
    back.close()
    assert again.exit_code == 0, again.output
    assert rows_of(out)[: len(finished)] == finished
    assert sorted(row["line"] for row in rows_of(out)) == list(range(1, PROBLEMS + 1))


@pytest.mark.parametrize("address", ["", "/nowhere/v1"])
def test_an_address_that_is_no_completions_endpoint_ends_the_command_with_what_it_must_be(
    problems: Path, prm: str, tmp_path: Path, address: str
) -> None:
    server = Server(completions)
    result = search(problems, server.url.removesuffix("/v1") + address, prm, tmp_path / "found.jsonl")
    server.close()
    assert result.exit_code == 3, result.output
    assert "must be that of a completions endpoint" in " ".join(result.output.split())


def test_a_prompt_that_the_policy_refuses_is_that_problem_s_error_alone(
    problems: Path, prm: str, tmp_path: Path
) -> None:
    def refusing(body: dict[str, Any]) -> tuple[int, Any]:
        return (400, "too rude") if "3 + 3" in body["prompt"] else completions(body)

    server, out = Server(refusing), tmp_path / "found.jsonl"
    result = search(problems, server.url, prm, out)
    server.close()
    assert result.exit_code == 1, result.output
    assert [row["problem"] for row in rows_of(out) if "error" in row] == ["What is 3 + 3?"]
    assert len(rows_of(out)) == PROBLEMS
