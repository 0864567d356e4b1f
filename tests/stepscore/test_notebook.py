"""docs/notebook.ipynb: its cells run in a kernel, and give what the page shows but for the numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

import checkpoints

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
NUMBER = re.compile(r"\d+(\.\d+)?")


def test_the_notebook_runs_and_shows_coloured_steps(tmp_path: Path) -> None:
    """With a tiny checkpoint, whose numbers, and so whose order of candidates, are others."""
    shown = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    run = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    (parameters,) = [cell for cell in run.cells if "parameters" in cell.metadata.get("tags", ())]
    parameters.source = f"MODEL = {str(checkpoints.qwen_math(tmp_path / 'tiny-prm'))!r}"
    NotebookClient(run, timeout=200, kernel_name="python3").execute()
    for before, after in zip(shown.cells, run.cells, strict=True):
        if before.cell_type == "code" and before.source.startswith("import"):
            assert len(printed_text(after).splitlines()) == 1
        elif before.cell_type == "code":
            assert shape(printed_text(after)) == shape(printed_text(before)), before.source
    pages = [html for cell in run.cells for html in htmls(cell)]
    assert [page.count("<tr>") for page in pages] == [3, 2]
    assert all("background: rgba(" in page for page in pages)


def printed_text(cell: Any) -> str:
    """What a cell printed, which must be no error and no warning, but for tqdm's wish for ipywidgets."""
    streams = [each for each in cell.get("outputs", ()) if each.output_type == "stream"]
    assert all(each.name == "stdout" or "IProgress not found" in each.text for each in streams), streams
    return "".join(each.text for each in streams if each.name == "stdout")


def htmls(cell: Any) -> list[str]:
    return [each.data["text/html"] for each in cell.get("outputs", ()) if "text/html" in each.get("data", {})]


def shape(text: str) -> str:
    return NUMBER.sub("0", text).replace("None", "0")
