"""`stepscore label` as a user calls it, with a real policy of random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import checkpoints
import checkpoints_causal
from cli_case import invoke, read, write
from label_case import row, wrong_at

RANDOM = ("--temperature", "1.5", "--rollout-tokens", "12", "-k", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints_causal.causal(tmp_path_factory.mktemp("policy") / "tiny", kind="qwen2")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "in.jsonl", [row(number, *wrong_at(number, 3)) for number in range(2)])


def test_a_policy_of_transformers_labels_a_file(policy: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = invoke("label", source, "--out", out, "--model", policy, "--rollouts", "--dtype", "float32", *RANDOM)
    assert done.exit_code in (0, 1), done.output
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["totals"]["rollouts"] == 8 == len(read(out / "rollouts-00000.jsonl"))
    assert manifest["totals"].get("truncated", 0) == manifest["totals"].get("stop_length", 0)
    assert len(manifest["run"]["policy"]["revision"]) == 16
    again = invoke(
        "label", source, "--out", tmp_path / "again", "--model", policy, "--rollouts", "--dtype", "float32", *RANDOM
    )
    assert again.exit_code == done.exit_code
    for name in ("labels-00000.jsonl", "rollouts-00000.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_checker_needs_no_policy(source: Path, tmp_path: Path) -> None:
    done = invoke("label", source, "--out", tmp_path / "out", "--method", "check:arithmetic")
    assert done.exit_code == 0, done.output
    assert "2 rows of 2 problems" in done.output
    assert {row["method"] for row in read(tmp_path / "out" / "labels-00000.jsonl")} == {"check-arithmetic"}


@pytest.mark.cpu_probe
def test_a_reward_model_is_asked_for_its_consent(source: Path, tmp_path: Path) -> None:
    judge = checkpoints.qwen_math(tmp_path / "Qwen2.5-Math-PRM-tiny")
    arguments = ("--method", "check:arithmetic", "--consensus", judge, "--threshold", "0", "--device", "cpu")
    sums = {"problem": "3 + 4?", "answer": "7", "steps": ["3 + 4 = 7", "7 + 1 = 8"]}
    rows = write(tmp_path / "sums.jsonl", [sums, {**sums, "steps": ["3 + 4 = 8", "8 + 1 = 9"]}])
    done = invoke("label", rows, "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 0, done.output
    assert "1 agree_sound, 1 disagree" in done.output
    assert [row["line"] for row in read(tmp_path / "out" / "labels-00000.jsonl")] == [1]
    assert [row["line"] for row in read(tmp_path / "out" / "dropped-00000.jsonl")] == [2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "needs --model"),
        (("--method", "magic"), "No method is called 'magic'"),
        (("--verifier", "magic"), "No verifier is called 'magic'"),
        (("--generator", "magic"), "'magic' is not a generator"),
        (("--method", "binary-search", "--labels", "soft"), "binary-search has no soft labels"),
        (("--model", "./nowhere"), "./nowhere is not a folder"),
    ],
)
def test_what_cannot_be_opened_is_said(source: Path, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = invoke("label", source, "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert not list(tmp_path.glob("out/labels*"))


@pytest.mark.slow
def test_a_policy_that_is_down_ends_in_a_sentence_after_its_retries(source: Path, tmp_path: Path) -> None:
    done = invoke("label", source, "--out", tmp_path / "out", "--generator", "openai:http://127.0.0.1:9/v1#policy")
    assert done.exit_code == 3
    said = " ".join(done.output.split())
    assert "http://127.0.0.1:9/v1 did not answer after 5 attempts" in said
    assert "the same command continues" in said
    assert not list(tmp_path.glob("out/labels*"))
