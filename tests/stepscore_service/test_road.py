"""A first afternoon on real solutions: score, show, report, evaluate, from any file, under its own names."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from cli_case import invoke, read

DATA = Path(__file__).parents[3] / "shared" / "data" / "processbench" / "math.json"
COUNT = 24
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """The shortest solutions, which the tiny checkpoint of the tests can read."""
    if not DATA.exists():
        pytest.skip("processbench/math.json is not on this machine")
    found = json.loads(DATA.read_text())
    return [
        {"name": row["id"], "question": row["problem"], "response": row["steps"], "label": row["label"]}
        for row in sorted(found, key=lambda row: len(row["problem"]) + sum(map(len, row["steps"])))[:COUNT]
    ]


def as_json(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(rows))


def as_csv(path: Path, rows: Rows) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows({name: v if isinstance(v, str) else json.dumps(v) for name, v in row.items()} for row in rows)


def as_parquet(path: Path, rows: Rows) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


FILES: dict[str, Callable[[Path, Rows], None]] = {
    "solutions.json": as_json,
    "solutions.csv": as_csv,
    "solutions.parquet": as_parquet,
}


@pytest.mark.parametrize("name", FILES)
def test_from_a_file_to_pictures_without_a_script(tmp_path: Path, folder: Path, rows: Rows, name: str) -> None:
    FILES[name](tmp_path / name, rows)
    model = ["--model", f"tiny={folder}", "--dtype", "float32", "--device", "cpu"]
    columns = ["--columns", "id=name,problem=question,steps=response"]
    scored = tmp_path / "solutions.scored.jsonl"
    assert f"{COUNT} rows" in run("score", tmp_path / name, *columns, *model)
    assert [row["steps"] for row in read(scored)] == [row["response"] for row in rows]
    assert "first error" in run("show", scored, "--line", "3") or "weakest" in run("show", scored, "--line", "3")
    run("report", scored, "--by", "label")
    run("evaluate", "--processbench", f"math={scored}", "--out", tmp_path / "report", *model)
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["inputs"][0]["rows"] == COUNT
    for page in (tmp_path / "solutions.scored.report.html", tmp_path / "report" / "report.html"):
        assert len(draw_page(page)) > 20_000


def run(*arguments: str | Path) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def draw_page(page: Path) -> bytes:
    """A picture of the page, as a browser shows it; the page itself if this machine has no browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        return page.read_bytes()
    picture = page.with_suffix(".png")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1100,1400"]
    subprocess.run([browser, *flags, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True)
    assert not re.search(r"https?://(?!www.w3.org)", page.read_text())
    return picture.read_bytes()
