"""The blocks of docs/ work: each is run, parsed or checked, or its language says that it is not meant to run.

Python runs against a live service, JSON of docs/api.md is sent to the route that its heading names, and commands need
existing flags, targets and files. docs/families.md is written from the code, with which a test of its own compares it.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml

import checkpoints
from readme_blocks import ADDRESS, ONLY_CHECKED, ROOT, Block, blocks, check_files, check_stepscore, whole_commands
from service_case import live, torch_scorer
from stepscore.aggregate import AGGREGATES
from stepscore.search.methods import METHODS
from stepscore.verify.open import CHECKERS, VERIFIERS
from stepscore_service.client import StepscoreClient
from stepscore_service.jobs.modeling.objectives.registry import OBJECTIVES

PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "families.md"]
BLOCKS = [(page, block) for page in PAGES for block in blocks(page.read_text())]
NOT_RUN = ("text", "csv", "mermaid")
RUN_ELSEWHERE = {"adding-a-family.md": "test_adding_a_family", "adding-a-route.md": "test_adding_a_route"}
"""Pages whose Python another test runs as a whole."""

NAMES = {
    "problem": "What is 3 + 4?",
    "rollouts": [{"problem": "What is 3 + 4?", "solution": "3 + 4 = 7", "answer": "7"}],
    "policy": SimpleNamespace(stream=lambda problem: iter(["3 + 4 = 7", "\n", "The answer is 7.", "\n"])),
}
"""What the text around Python blocks speaks of."""

OTHERS = (*ONLY_CHECKED, "accelerate", "curl", "head", "jupyter", "sed", "vllm")
INDENTED_CODE = re.compile(r"^ {4}(stepscore|curl|make|pip|python|from|import|\{)", re.MULTILINE)


def of(*languages: str) -> Any:
    chosen = [(page, block) for page, block in BLOCKS if block.language in languages]
    assert chosen, languages
    names = [f"{page.name}:{block.line}" for page, block in chosen]
    return pytest.mark.parametrize(("page", "block"), chosen, ids=names)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = checkpoints.qwen_math(tmp_path_factory.mktemp("docs") / "tiny")
    with live({"tiny": torch_scorer(folder, "tiny")}) as url:
        yield url.removeprefix("http://")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_has_a_language_that_says_what_is_done_with_it(page: Path) -> None:
    known = {"python", "sh", "bash", "console", "json", "yaml", "toml", "promql", *NOT_RUN}
    assert {block.language for place, block in BLOCKS if place == page} <= known
    outside = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert not INDENTED_CODE.search(outside)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("api.md", AGGREGATES),
        ("verifiers.md", [*VERIFIERS, *CHECKERS]),
        ("search.md", METHODS),
        ("jobs.md", [name for name in OBJECTIVES if name != "lm"]),  # a flag of its own, --lm-only
    ],
    ids=["aggregates", "verifiers", "search methods", "objectives"],
)
def test_a_page_names_everything_that_can_be_chosen(page: str, names: Iterable[str]) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert [name for name in names if not re.search(rf"`{re.escape(name)}[`\[]", text)] == []


def test_links_lead_from_the_index_to_every_page() -> None:
    reached, waiting = set(), ["index.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        waiting += {*re.findall(r"\]\(([\w-]+\.md)[#)]", text)} - reached
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - reached == set()


SOURCES = [path for folder in ("models", "service", "tests") for path in (ROOT / folder).rglob("*")]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_map_names_exist(page: str) -> None:
    """A name in backticks is that of a file or folder if it has a slash or an ending; `x.py` stands for a new one."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = re.findall(r"`([\w./-]+/[\w.-]*|[\w-]+\.(?:py|md|json|js))`", text)
    assert named
    assert [each for each in named if Path(each).name != "x.py" and not _exists(each.rstrip("/"))] == []


def _exists(named: str) -> bool:
    """At this path, or anywhere in the sources under this end of a path, with or without .py."""
    ends = (f"/{named}", f"/{named}.py")
    return (ROOT / named).exists() or any(str(path).endswith(ends) for path in SOURCES)


def test_the_map_of_the_library_has_every_room_in_the_order_of_its_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (each["layers"] for each in contracts if each.get("containers") == ["stepscore"])
    height = {room: place for place, layer in enumerate(reversed(layers)) for room in layer.split(" | ")}
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("from the ground up")[2].partition("## ")[0]
    rows = [re.findall(r"`(\w+)/?`", line.split("|")[1]) for line in table.splitlines() if line.startswith("| `")]
    assert sorted(room for row in rows for room in row) == sorted(height)
    heights = [sorted(height[room] for room in row) for row in rows]
    assert [(low, high) for low, high in pairwise(heights) if low[-1] > high[0]] == []


@of("python")
def test_python(page: Path, block: Block, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.name in RUN_ELSEWHERE:
        assert list((ROOT / "tests").rglob(f"{RUN_ELSEWHERE[page.name]}.py"))
        return
    if '"embedded"' in block.text:
        pytest.skip("opens the embedded checkpoint, as a test of the README does")
    monkeypatch.chdir(tmp_path)
    with StepscoreClient(f"http://{address}") as client:
        given = {**NAMES, "client": client, "__name__": "docs"}
        exec(compile(block.text.replace(ADDRESS, address), f"{page.name}:{block.line}", "exec"), given)


@of("sh", "bash", "console")
def test_commands(page: Path, block: Block) -> None:
    for command in whole_commands(block):
        words = [word for word in shlex.split(command, comments=True) if "=" not in word or not word[0].isupper()]
        if words[0].startswith("rows="):  # a shell variable that holds a command of recipes/
            words = words[0].removeprefix("rows=").split()
        if words[0] == "stepscore":
            check_stepscore(words[1:])
        elif words[0] == "make":
            subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, check=True)
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]) or list(ROOT.glob(f"*/{words[2].partition('.')[2]}.py")), command
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), command
        else:
            assert words[0] in OTHERS or words[0] == "$rows", f"{command}: nothing checks this"
            check_files(words)


@of("json")
def test_json(page: Path, block: Block, address: str) -> None:
    """A request of docs/api.md is answered."""
    body = json.loads(block.text)
    if page.name != "api.md":
        return
    before = page.read_text().splitlines()[: block.line]
    route = next(line.split()[-1] for line in reversed(before) if line.startswith("## POST /"))
    answer = httpx.post(f"http://{address}{route}", json=body)
    assert answer.status_code == 200, answer.text


@of("yaml", "toml")
def test_settings(page: Path, block: Block) -> None:
    assert tomllib.loads(block.text) if block.language == "toml" else yaml.safe_load(block.text)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    mkdocs = pytest.importorskip("mkdocs.__main__")
    assert mkdocs
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {page.name for page in (tmp_path / "site").glob("*.html")}
    assert {f"{page.stem}.html" for page in PAGES} <= pages
