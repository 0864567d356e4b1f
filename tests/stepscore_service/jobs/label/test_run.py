"""The whole command with a policy by script: the same files again, after a kill too, and every bad input named."""

from __future__ import annotations

import json
import random
import resource
import signal
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer

from cli_case import read
from cli_case import write as write_rows
from label_case import RIGHT, WRONG, ScriptedPolicy, Written, plan, row, scripted, wrong_at
from stepscore.errors import EngineError, GeneratorError, StepscoreError
from stepscore.generate.protocol import Completion, Request
from stepscore.scoring.protocol import Scoring
from stepscore.types import Reading, Solution
from stepscore_service.jobs.data.labelled import of_row
from stepscore_service.jobs.label.labeller import Labeller, OnProgress
from stepscore_service.jobs.label.options import FilterOptions, LabelRunOptions
from stepscore_service.jobs.label.plan import LabelPlan
from stepscore_service.jobs.label.run import run

ROWS = [row(number, *wrong_at(number % 4, 4)) for number in range(6)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "in.jsonl", ROWS)


def label(source: Path, out: Path, policy: ScriptedPolicy | None = None, chosen: LabelPlan | None = None) -> None:
    run(chosen or plan(k=2), str(source), LabelRunOptions(out, shard_problems=2), partial(scripted, policy=policy))


def files(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.iterdir() if file.suffix in (".jsonl", ".json")}


def refusal_of(capsys: pytest.CaptureFixture[str], code: int = 2, **given: Any) -> str:
    with pytest.raises(typer.Exit) as caught:
        label(**given)
    assert caught.value.exit_code == code
    return " ".join(capsys.readouterr().err.split())


def test_rows_are_trls_and_say_where_they_come_from(source: Path, tmp_path: Path) -> None:
    label(source, tmp_path / "out")
    rows = [row for index in range(3) for row in read(tmp_path / "out" / f"labels-{index:05}.jsonl")]
    labelled = [of_row(row) for row in rows]
    assert [each.solution.steps for each in labelled] == [tuple(given["steps"]) for given in ROWS]
    assert [row["id"] for row in rows] == [given["id"] for given in ROWS]
    assert {(row["line"], row["method"]) for row in rows} == {(line, "monte-carlo") for line in range(1, 7)}
    totals = json.loads((tmp_path / "out" / "manifest.json").read_text())["totals"]
    assert totals["problems"] == totals["rows"] == 6
    assert totals["rollouts"] == 6 * 3 * 2 == totals["right"] + totals["wrong"]


class Dying(ScriptedPolicy):
    """Answers a number of calls, then raises."""

    def __init__(self, calls: int, error: BaseException) -> None:
        super().__init__()
        self.calls, self.error = calls, error

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        if not self.calls:
            raise self.error
        self.calls -= 1
        return super().generate(requests)


@pytest.mark.parametrize("method", ["monte-carlo", "binary-search", "omega"])
def test_a_killed_run_continues_to_the_same_files(source: Path, tmp_path: Path, method: str) -> None:
    chosen = replace(plan(method, k=3, searches=2), keep_rollouts=True)
    label(source, tmp_path / "whole", chosen=chosen)
    label(source, tmp_path / "again", chosen=chosen)
    with pytest.raises(typer.Exit):
        label(source, tmp_path / "killed", Dying(2, GeneratorError("gone", reason="gone")), chosen)
    assert 0 < len(files(tmp_path / "killed")) < len(files(tmp_path / "whole"))
    label(source, tmp_path / "killed", chosen=chosen)
    assert files(tmp_path / "whole") == files(tmp_path / "again") == files(tmp_path / "killed")


def test_a_run_that_is_done_asks_nothing_more(source: Path, tmp_path: Path) -> None:
    label(source, tmp_path / "out")
    policy = ScriptedPolicy()
    label(source, tmp_path / "out", policy)
    assert not policy.requests


def test_a_policy_that_goes_away_loses_one_shard(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = Dying(1, GeneratorError("http://policy did not answer after 5 attempts", reason="refused"))
    said = refusal_of(capsys, 3, source=source, out=tmp_path / "out", policy=policy)
    assert "2 problems labelled" in said
    assert "the same command continues" in said
    assert "did not answer after 5 attempts (generator_failed)" in said
    assert policy.closed


def test_ctrl_c_ends_with_130_and_whole_shards(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = Dying(2, KeyboardInterrupt())
    said = refusal_of(capsys, 130, source=source, out=tmp_path / "out", policy=policy)
    assert "Stopped with 4 problems labelled" in said
    assert policy.closed


def test_sigterm_ends_like_ctrl_c(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def script(prefix: str, number: int, rng: random.Random) -> Written:
        signal.raise_signal(signal.SIGTERM)
        return RIGHT, "stop"

    before = signal.getsignal(signal.SIGTERM)
    assert "Stopped with 0" in refusal_of(
        capsys, 130, source=source, out=tmp_path / "out", policy=ScriptedPolicy(script)
    )
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_full_disk_ends_the_run_and_keeps_what_is_whole(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fills(plan: LabelPlan, told: OnProgress) -> Labeller:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, before[1]))
        return scripted(plan, told)

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(typer.Exit) as caught:
            run(plan(k=2), str(source), LabelRunOptions(tmp_path / "out", shard_problems=2), fills)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.exit_code == 3
    assert "File too large (output_failed)" in capsys.readouterr().err
    label(source, tmp_path / "out")
    label(source, tmp_path / "whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


class Severe:
    """A judge that sees an error in every second step, and cannot read the problem of p3."""

    info = SimpleNamespace(threshold=0.5)

    def score(self, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]:
        return [
            EngineError("no") if solution.problem.startswith("Problem 3") else Reading((0.9, 0.1, 0.9, 0.9))
            for solution in solutions
        ]

    def close(self) -> None:
        """Nothing is held."""


def test_consensus_keeps_agreement_and_sets_the_rest_apart(source: Path, tmp_path: Path) -> None:
    def opened(plan: LabelPlan, told: OnProgress) -> Labeller:
        return replace(scripted(plan, told), judge=cast(Scoring, Severe()))

    run(plan(k=4), str(source), LabelRunOptions(tmp_path / "out", shard_problems=6), opened)
    kept, dropped = (read(tmp_path / "out" / f"{kind}-00000.jsonl") for kind in ("labels", "dropped"))
    assert [row["id"] for row in kept] == ["p1", "p5"]
    assert {row["consensus"]["agreement"] for row in kept} == {"agree_error"}
    assert {row["id"]: row["consensus"]["agreement"] for row in dropped} == {
        "p0": "disagree",
        "p2": "disagree",
        "p3": "unscored",
        "p4": "disagree",
    }
    totals = json.loads((tmp_path / "out" / "manifest.json").read_text())["totals"]
    assert (totals["consensus_agree_error"], totals["consensus_disagree"], totals["rows"]) == (2, 3, 2)


def test_problems_that_no_rollout_solves_are_set_apart_where_that_is_asked(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(source, tmp_path / "out", chosen=replace(plan(k=8), filters=FilterOptions(drop_unsolved=True)))
    kept, dropped = (
        [row for index in range(3) for row in read(tmp_path / "out" / f"{kind}-{index:05}.jsonl")]
        for kind in ("labels", "dropped")
    )
    assert [row["id"] for row in kept] == ["p1", "p2", "p3", "p5"]
    assert [(row["id"], row["unsolved"]) for row in dropped] == [("p0", True), ("p4", True)]
    totals = json.loads((tmp_path / "out" / "manifest.json").read_text())["totals"]
    assert (totals["problems"], totals["problems_unsolved"], totals["rows"]) == (6, 2, 4)
    assert "2 problems of which no rollout is right" in capsys.readouterr().out
    said = refusal_of(
        capsys,
        source=source,
        out=tmp_path / "b",
        chosen=replace(plan("check:coq"), filters=FilterOptions(drop_unsolved=True)),
    )
    assert "no rollouts to drop by" in said


def test_no_right_rollout_is_an_error_and_the_rows_are_kept(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(prefix: str, number: int, rng: random.Random) -> Written:
        return WRONG, "stop"

    said = refusal_of(capsys, 1, source=source, out=tmp_path / "out", policy=ScriptedPolicy(wrong))
    assert "not one of 36 rollouts is right" in said
    assert "--prompt" in said
    assert len(read(tmp_path / "out" / "labels-00000.jsonl")) == 2


def test_truncated_rollouts_are_warned_of(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = ScriptedPolicy(lambda prefix, number, rng: (RIGHT, "length" if number else "stop"))
    label(source, tmp_path / "out", policy, plan(k=4))
    assert "--rollout-tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "holds no rows"),
        (["{"], "line 1 is not JSON"),
        ([ROWS[0], "[1]"], "line 2 is a list, not an object"),
        ([ROWS[0], {"text": "x"}], 'line 2: "problem" (or "question") is missing (columns: text)'),
        ([ROWS[0], {"problem": "x", "steps": ["a"]}], 'line 2: the truth has no "answer"'),
        ([row(0)], 'line 1: it has no "solutions"; give --samples N'),
        ([ROWS[0] | {"labels": [True] * 5}], 'line 1: "labels" has 5 labels for 4 steps'),
    ],
)
def test_a_bad_input_is_refused_before_anything_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[Any], said: str
) -> None:
    source = write_rows(tmp_path / "in.jsonl", rows)
    policy = ScriptedPolicy()
    assert said in refusal_of(capsys, source=source, out=tmp_path / "out", policy=policy)
    assert not (tmp_path / "out").exists()


def test_unusable_rows_are_passed_over_by_name_up_to_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_rows(tmp_path / "in.jsonl", [ROWS[0], "{", ROWS[1], {"text": "x"}, ROWS[2]])
    options = LabelRunOptions(tmp_path / "out", shard_problems=2, skip_bad=2)
    run(plan(k=2), str(source), options, partial(scripted, policy=None))
    said = " ".join(capsys.readouterr().err.split())
    assert "Passed over: line 2 is not JSON" in said
    assert 'Passed over: line 4: "problem"' in said
    rows = [row for index in range(2) for row in read(tmp_path / "out" / f"labels-{index:05}.jsonl")]
    assert [row["id"] for row in rows] == [given["id"] for given in ROWS[:3]]
    with pytest.raises(typer.Exit):
        run(plan(k=2), str(source), replace(options, out=tmp_path / "one", skip_bad=1), partial(scripted, policy=None))
    assert "line 4" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()


def test_another_command_on_the_folder_is_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(source, tmp_path / "out")
    said = refusal_of(capsys, source=source, out=tmp_path / "out", chosen=replace(plan(k=2), seed=1))
    assert "seed was 0 and is 1" in said


def test_a_prompt_without_a_hole_is_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = plan()
    said = refusal_of(
        capsys,
        source=source,
        out=tmp_path / "out",
        chosen=replace(chosen, policy=replace(chosen.policy, prompt="Solve it")),
    )
    assert "--prompt holds no {problem}" in said


def test_the_sandbox_of_programs_is_said_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"problem": "Give four.", "tests": "assert four() == 4", "steps": ["def four():", "    return 4"]}]
    source = write_rows(tmp_path / "in.jsonl", rows)
    chosen = plan("check:arithmetic", verifier="code:weak")
    run(chosen, str(source), LabelRunOptions(tmp_path / "out"))
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())["made_by"]["sandbox"]["code"]
    assert told["limits"]["cpu_seconds"] == 5
    assert f"Programs (code) run {told['by']}: each has 5 s" in " ".join(capsys.readouterr().err.split())
