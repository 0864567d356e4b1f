"""`stepscore evaluate` as a user has it: over an engine without weights, against a service, and with bad input."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli_case import invoke, read, start, write
from stepscore.aggregate import first_error
from stepscore_service.jobs.evaluate.suites.registry import SUITES, SuiteOptions, build_suite
from stepscore_service.jobs.runs.lock import lock_folder

PROBLEM = "How many eggs are left?"


def bench_rows(count: int = 12) -> list[dict[str, Any]]:
    return [
        {"id": f"n{n}", "problem": PROBLEM, "steps": [f"{n} + {k} = {n + k}" for k in range(n % 4 + 1)], "label": label}
        for n in range(count)
        for label in [-1 if n % 2 else 0]
    ]


def prm_rows() -> list[dict[str, Any]]:
    names = ("redundency", "circular", "multi_solutions", "confidence")
    return [
        {
            "idx": str(n),
            "classification": name,
            "modified_question": PROBLEM,
            "modified_process": [f"{n} + 1 = {n + 1}", f"so {n + 1}"],
            "original_question": PROBLEM,
            "original_process": [f"{n} + 1 = {n + 1}"],
            "error_steps": [] if name == "multi_solutions" else [2],
        }
        for n, name in enumerate(names * 2)
    ]


def candidate_rows(count: int = 5) -> list[dict[str, Any]]:
    texts = ["2+3=5\nA: 5", "2+3=6\nA: 6", "3+2=5\nA: 5"]
    return [
        {
            "id": n,
            "problem": f"{n}: 2+3?",
            "candidates": [f"{n}\n{text}" for text in texts],
            "correct": [True, False, True],
        }
        for n in range(count)
    ]


def step_rows(count: int = 10) -> list[dict[str, Any]]:
    return [
        {
            "prompt": PROBLEM,
            "completions": [f"{n} eggs", f"{n} - 1 = {n - 1}", "done"],
            "labels": [True, n % 2 == 0, None],
            "outcome": n % 2 == 0,
        }
        for n in range(count)
    ]


Write = Callable[..., list[str | Path]]


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


@pytest.fixture
def all_suites(tmp_path: Path) -> list[str | Path]:
    return [
        *("--processbench", f"math={write(tmp_path / 'pb.jsonl', bench_rows())}"),
        *("--prmbench", write(tmp_path / "prm.jsonl", prm_rows())),
        *("--best-of-n", write(tmp_path / "bon.jsonl", candidate_rows())),
        *("--steps", write(tmp_path / "steps.jsonl", step_rows())),
    ]


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def test_every_suite_ends_in_one_report(tmp_path: Path, fake: list[str], all_suites: list[str | Path]) -> None:
    result = invoke("evaluate", *all_suites, "--out", tmp_path / "out", *fake)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert set(metrics(out)["suites"]) == {"processbench", "prmbench", "best_of_n", "steps"}
    page, text = (out / "report.html").read_text(), (out / "report.md").read_text()
    for words in (
        "ProcessBench",
        "PRMBench",
        "Best of n",
        "Labelled steps",
        "tiny",
        "stepscore",
        "Qwen2.5-Math-PRM-7B",
    ):
        assert words in page
        assert words in text
    assert "://" not in page.replace("http://www.w3.org", "")
    plots = {path.suffix for path in (out / "plots").iterdir()}
    assert plots == {".png", ".svg"}
    assert all(f"plots/{path.name}" in text for path in (out / "plots").glob("*.svg"))


def test_the_numbers_are_those_of_the_rows(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "pb.jsonl", bench_rows())
    assert invoke("evaluate", "--processbench", source, "--out", tmp_path / "out", *fake).exit_code == 0
    rows = read(tmp_path / "out" / "rows" / "processbench-pb.jsonl")
    found = metrics(tmp_path / "out")["suites"]["processbench"]["splits"]["pb"]
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for row in rows:
        predicted = first_error(row["rewards"], 0.5)
        hits[row["label"] == -1].append((-1 if predicted is None else predicted) == row["label"])
    assert found["correct_accuracy"] == sum(hits[True]) / len(hits[True])
    assert found["error_accuracy"] == sum(hits[False]) / len(hits[False])
    assert found["solutions"] == 12


def test_numbers_and_truths_as_pandas_writes_them_give_the_same_numbers(tmp_path: Path, fake: list[str]) -> None:
    """1.0 for 1 (pandas-dev/pandas issue 57224), and 1 for true."""
    written = []
    for name, as_number in (("plain", lambda value: value), ("floats", float)):
        bench = [row | {"label": as_number(row["label"])} for row in bench_rows()]
        prm = [row | {"error_steps": list(map(as_number, row["error_steps"]))} for row in prm_rows()]
        bon = [row | {"correct": list(map(as_number, row["correct"]))} for row in candidate_rows()]
        files = ["--processbench", f"a={write(tmp_path / f'{name}.pb.jsonl', bench)}"]
        files += ["--prmbench", f"b={write(tmp_path / f'{name}.prm.jsonl', prm)}"]
        files += ["--best-of-n", f"c={write(tmp_path / f'{name}.bon.jsonl', bon)}"]
        result = invoke("evaluate", *files, "--out", tmp_path / name, *fake)
        assert result.exit_code == 0, result.output
        written.append({kind: metrics(tmp_path / name)[kind] for kind in ("suites", "misses")})
    assert written[0] == written[1]


def test_a_service_gives_the_same_numbers(tmp_path: Path, folder: Path, url: str, all_suites: list[str | Path]) -> None:
    local = ["--model", f"tiny={folder}", "--device", "cpu", "--dtype", "float32"]
    assert invoke("evaluate", *all_suites, "--out", tmp_path / "local", *local).exit_code == 0
    result = invoke("evaluate", *all_suites, "--out", tmp_path / "remote", "--url", f"{url}#tiny")
    assert result.exit_code == 0, result.output
    for kind in ("processbench-math", "prmbench-prm", "best_of_n-bon", "steps-steps"):
        ours, theirs = (read(tmp_path / where / "rows" / f"{kind}.jsonl") for where in ("local", "remote"))
        assert _round(ours) == _round(theirs)
    here, there = metrics(tmp_path / "local"), metrics(tmp_path / "remote")
    assert {**here["model"]} == {**there["model"]}
    assert here["suites"]["steps"]["steps"]["auroc"]["value"] == there["suites"]["steps"]["steps"]["auroc"]["value"]


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _round(each) for key, each in value.items()}
    return [_round(each) for each in value] if isinstance(value, list) else value


def test_an_interrupted_run_continues_and_ends_in_the_same_numbers(tmp_path: Path, fake: list[str]) -> None:
    command = [
        "evaluate",
        "--processbench",
        write(tmp_path / "pb.jsonl", bench_rows()),
        "--out",
        tmp_path / "out",
        *fake,
    ]
    assert invoke(*command).exit_code == 0
    whole, journal = metrics(tmp_path / "out"), tmp_path / "out" / "rows" / "processbench-pb.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:5]) + lines[5][:10])
    result = invoke(*command)
    assert "5 rows are done" in result.output
    assert journal.read_text().splitlines(keepends=True) == lines
    assert metrics(tmp_path / "out")["suites"] == whole["suites"]


def test_a_threshold_changes_the_numbers_without_scoring_again(tmp_path: Path, fake: list[str]) -> None:
    command = [
        "evaluate",
        "--processbench",
        write(tmp_path / "pb.jsonl", bench_rows()),
        "--out",
        tmp_path / "out",
        *fake,
    ]
    invoke(*command)
    result = invoke(*command, "--threshold", "0.9")
    assert "All rows are scored" in result.output
    assert metrics(tmp_path / "out")["suites"]["processbench"]["threshold"] == 0.9


def test_a_finished_evaluation_reports_again_without_a_model(
    tmp_path: Path, folder: Path, all_suites: list[str | Path]
) -> None:
    model = ["--model", f"tiny={folder}", "--engine", "fake"]
    command = ["evaluate", *all_suites, "--orm", folder, "--out", tmp_path / "out", *model]
    first = invoke(*command)
    assert first.exit_code == 0, first.output
    assert "without opening a model" not in first.output
    numbers = metrics(tmp_path / "out")
    again = invoke(*command)
    assert again.exit_code == 0, again.output
    assert "without opening a model" in again.output
    assert "Opening" not in again.output
    assert "Evaluating" not in again.output
    for key in ("suites", "model", "inputs", "hardware"):
        assert metrics(tmp_path / "out")[key] == numbers[key]
    other = invoke(*command, "--threshold", "0.9")
    assert "without opening a model" in other.output
    assert metrics(tmp_path / "out")["suites"]["processbench"]["threshold"] == 0.9


def test_other_weights_or_rows_open_the_model(tmp_path: Path, folder: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "model")
    source, out = write(tmp_path / "pb.jsonl", bench_rows()), tmp_path / "out"
    command = ["evaluate", "--processbench", source, "--out", out, "--model", f"tiny={copy}", "--engine", "fake"]
    assert invoke(*command).exit_code == 0
    journal = out / "rows" / "processbench-pb.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    assert "without opening a model" not in invoke(*command).output
    assert "without opening a model" in invoke(*command).output
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "note": "retrained"}))
    changed = invoke(*command)
    assert changed.exit_code == 2
    assert "revision was" in changed.output


def test_rows_that_were_edited_are_not_reported(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "pb.jsonl", bench_rows())
    command = ["evaluate", "--processbench", source, "--out", tmp_path / "out", *fake]
    assert invoke(*command).exit_code == 0
    journal = tmp_path / "out" / "rows" / "processbench-pb.jsonl"
    journal.write_text(journal.read_text().replace('"label": -1', '"label": 0', 1))
    result = invoke(*command)
    assert (result.exit_code, "was edited" in result.output) == (2, True)


@pytest.mark.parametrize("kind", ["processbench", "prmbench", "best_of_n", "steps"])
def test_a_report_holds_the_suites_that_were_run_and_no_empty_tables(
    tmp_path: Path, fake: list[str], all_suites: list[str | Path], kind: str
) -> None:
    at = all_suites.index("--" + kind.replace("_", "-"))
    assert invoke("evaluate", *all_suites[at : at + 2], "--out", tmp_path / "out", *fake).exit_code == 0
    text = (tmp_path / "out" / "report.md").read_text()
    titles = {other: entry.title for other, entry in SUITES.items()}
    assert [other for other, title in titles.items() if f"## {title}" in text] == [kind]
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in text.splitlines() if line.startswith("| ")]
    assert not [row for row in rows if set(row) == {"–"}]


def test_classes_that_no_item_has_are_not_in_the_report(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "prm.jsonl", prm_rows())
    assert invoke("evaluate", "--prmbench", source, "--out", tmp_path / "out", *fake).exit_code == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert "circular" in text
    assert "counterfactual" not in text
    assert "8 items" in text


def test_every_suite_has_a_flag_a_builder_and_a_section() -> None:
    said = invoke("evaluate", "--help").output
    for kind in SUITES:
        assert f"--{kind.replace('_', '-')}" in said
        assert build_suite(kind, SuiteOptions()).kind == kind


def test_a_threshold_is_tuned_on_one_split_and_used_on_the_others(tmp_path: Path, fake: list[str]) -> None:
    one, other = write(tmp_path / "one.jsonl", bench_rows(20)), write(tmp_path / "other.jsonl", bench_rows(7))
    files = ["--processbench", one, "--processbench", other]
    result = invoke("evaluate", *files, "--threshold", "tuned", "--tune-on", "one", "--out", tmp_path / "out", *fake)
    assert result.exit_code == 0, result.output
    found = metrics(tmp_path / "out")["suites"]["processbench"]
    assert found["tuned_on"] == "one"
    assert found["threshold"] == found["splits"]["one"]["best_threshold"]
    assert found["splits"]["one"]["f1"]["value"] == pytest.approx(found["splits"]["one"]["best_f1"])
    f1s = [split["f1"]["value"] for split in found["splits"].values()]
    assert found["mean_f1"] == pytest.approx(sum(f1s) / 2)


def test_unscorable_solutions_count_as_wrong_and_are_reported(tmp_path: Path, fake: list[str]) -> None:
    rows = [*bench_rows(), {"problem": PROBLEM, "steps": ["word " * 9000], "label": -1}]
    result = invoke("evaluate", "--processbench", write(tmp_path / "pb.jsonl", rows), "--out", tmp_path / "out", *fake)
    assert result.exit_code == 0, result.output
    found = metrics(tmp_path / "out")["suites"]["processbench"]["splits"]["pb"]
    assert found["solutions"] == 13
    assert found["unscorable"] == {"too_long": 1}


def test_what_rerank_wrote_needs_no_model(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "bon.jsonl", candidate_rows())
    assert invoke("rerank", source, "--out", tmp_path / "ranked.jsonl", *fake).exit_code == 0
    assert invoke("evaluate", "--best-of-n", source, "--out", tmp_path / "asked", *fake).exit_code == 0
    result = invoke(
        "evaluate", "--best-of-n", tmp_path / "ranked.jsonl", "--out", tmp_path / "read", "--model", "/none"
    )
    assert result.exit_code == 0, result.output
    asked = metrics(tmp_path / "asked")["suites"]["best_of_n"]["bon"]
    assert metrics(tmp_path / "read")["suites"]["best_of_n"]["ranked"] == asked


@pytest.mark.parametrize("place", [0, 3])
def test_a_row_that_rerank_could_not_score_is_counted_and_asks_no_model(
    tmp_path: Path, fake: list[str], place: int
) -> None:
    rows = candidate_rows()
    rows[place]["candidates"][1] = " "
    source, ranked = write(tmp_path / "bon.jsonl", rows), tmp_path / "ranked.jsonl"
    assert invoke("rerank", source, "--out", ranked, *fake).exit_code == 1
    result = invoke("evaluate", "--best-of-n", ranked, "--out", tmp_path / "read", "--model", "/none")
    assert result.exit_code == 1, result.output
    assert metrics(tmp_path / "read")["suites"]["best_of_n"]["ranked"]["problems"] == 4
    (failed,) = [row for row in read(tmp_path / "read" / "rows" / "best_of_n-ranked.jsonl") if "error" in row]
    assert failed["line"] == place + 1
    assert "could not score it: no_steps" in failed["error"]["message"]


def test_a_row_without_rewards_among_reranked_ones_is_an_error_of_its_own(tmp_path: Path, fake: list[str]) -> None:
    source, ranked = write(tmp_path / "bon.jsonl", candidate_rows()), tmp_path / "ranked.jsonl"
    invoke("rerank", source, "--out", ranked, *fake)
    mixed = write(tmp_path / "mixed.jsonl", [*read(ranked), candidate_rows(1)[0]])
    result = invoke("evaluate", "--best-of-n", mixed, "--out", tmp_path / "read", "--model", "/none")
    assert result.exit_code == 1, result.output
    assert "holds no rewards" in read(tmp_path / "read" / "rows" / "best_of_n-mixed.jsonl")[-1]["error"]["message"]


def test_an_outcome_model_is_compared_with(tmp_path: Path, folder: Path, fake: list[str]) -> None:
    source = write(tmp_path / "bon.jsonl", candidate_rows())
    result = invoke("evaluate", "--best-of-n", source, "--orm", folder, "--out", tmp_path / "out", *fake)
    assert result.exit_code == 0, result.output
    found = metrics(tmp_path / "out")["suites"]["best_of_n"]["bon"]
    assert found["curves"]["orm"] == found["curves"][f"best:{found['aggregate']}"]


def test_a_fitted_calibration_is_served(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "steps.jsonl", step_rows(40))
    assert invoke("evaluate", "--steps", source, "--out", tmp_path / "out", *fake).exit_code == 0
    file = tmp_path / "out" / "calibration.json"
    fitted = metrics(tmp_path / "out")["suites"]["steps"]["steps"]["calibration"]["fitted"]
    assert file.exists() == (fitted is not None)
    if fitted is None:
        file.write_text(json.dumps({"temperature": 2.0}))
    again = invoke("evaluate", "--steps", source, "--out", tmp_path / "again", "--calibration", file, *fake)
    assert again.exit_code == 0, again.output
    assert "calibration" in metrics(tmp_path / "again")["model"]
    assert not (tmp_path / "again" / "calibration.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to evaluate"),
        (["--processbench", "none.jsonl"], "cannot read none.jsonl"),
        (["--processbench", "{empty}"], "holds no rows"),
        (["--processbench", "{steps}"], "'problem' is missing"),
        (["--processbench", "{bad}"], "label 7 names no step of 1"),
        (["--steps", "{short}"], "1 labels for 2 steps"),
        (["--steps", "{torn}"], "breaks off"),
        (["--processbench", "{good}", "--threshold", "high"], "neither a number"),
        (["--processbench", "{good}", "--threshold", "tuned"], "needs --tune-on NAME"),
        (["--processbench", "{good}", "--tune-on", "good"], "goes with --threshold tuned"),
        (["--processbench", "{good}", "--processbench", "{good}"], "one name"),
        (["--processbench", "{good}", "--out", "{good}"], "cannot make the folder"),
        (["--processbench", "{good}", "--url", "http://127.0.0.1:9"], "no service answers at this address"),
    ],
)
def test_bad_input_ends_in_a_sentence(tmp_path: Path, fake: list[str], arguments: list[str], said: str) -> None:
    rows: dict[str, list[Any]] = {
        "empty": [],
        "steps": step_rows(1),
        "bad": [{"problem": "p", "steps": ["a"], "label": 7}],
        "short": [{"prompt": "p", "completions": ["a", "b"], "labels": [True]}],
        "torn": ['[{"prompt": "p"'],
        "good": bench_rows(2),
    }
    for name, content in rows.items():
        write(tmp_path / f"{name}.jsonl", content)
    paths = {name: str(tmp_path / f"{name}.jsonl") for name in rows}
    result = invoke("evaluate", "--out", tmp_path / "out", *fake, *(each.format(**paths) for each in arguments))
    assert result.exit_code in (2, 3)
    assert said in result.output


def test_a_full_disk_ends_in_a_sentence_and_loses_nothing(tmp_path: Path, fake: list[str]) -> None:
    command = ["evaluate", "--processbench", write(tmp_path / "pb.jsonl", bench_rows(60)), "--out", tmp_path / "out"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        result = invoke(*command, *fake)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.exit_code == 2
    assert "File too large. Make room" in result.output
    again = invoke(*command, *fake)
    assert again.exit_code == 0, again.output
    rows = read(tmp_path / "out" / "rows" / "processbench-pb.jsonl")
    assert [row["line"] for row in rows] == list(range(1, 61))


def test_one_run_at_a_time_writes_a_folder(tmp_path: Path, fake: list[str]) -> None:
    command = ["evaluate", "--processbench", write(tmp_path / "pb.jsonl", bench_rows()), "--out", tmp_path, *fake]
    with lock_folder(tmp_path):
        result = invoke(*command)
    assert result.exit_code == 2
    assert "another run is writing" in result.output
    assert invoke(*command).exit_code == 0


def test_a_row_that_cannot_be_used_is_said_at_the_end(tmp_path: Path, fake: list[str]) -> None:
    rows = [*bench_rows(3), {"problem": "p", "steps": ["a"]}]
    result = invoke("evaluate", "--processbench", write(tmp_path / "pb.jsonl", rows), "--out", tmp_path / "out", *fake)
    assert result.exit_code == 1
    assert "1 row cannot be used" in result.output
    assert metrics(tmp_path / "out")["suites"]["processbench"]["splits"]["pb"]["solutions"] == 3


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_the_next_run_continues(tmp_path: Path, folder: Path) -> None:
    source = write(tmp_path / "pb.jsonl", bench_rows(3000))
    command = ["evaluate", "--processbench", source, "--out", tmp_path / "out", "--model", folder, "--batch-rows", "2"]
    running = start(*command)
    journal = tmp_path / "out" / "rows" / "processbench-pb.jsonl"
    while not (journal.exists() and journal.stat().st_size):
        assert running.poll() is None
    running.send_signal(2)
    assert running.wait(60) == 130
    assert 0 < len(read(journal)) < 3000
