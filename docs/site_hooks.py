"""What the site does beside MkDocs: results of measurements that pages link to become pages too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parents[1]
RESULTS = "benchmarks/results"
LINK = re.compile(rf"\]\(\.\./{RESULTS}/([\w.-]+\.md)")


def on_files(files: Files, config: Any) -> Files:
    """Add the results that some page links to."""
    linked = {name for file in files.documentation_pages() for name in LINK.findall(file.content_string)}
    for name in sorted(linked):
        place = str(REPOSITORY / RESULTS / name)
        files.append(File.generated(config, f"results/{name}", abs_src_path=place))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to results as they are on the site."""
    return LINK.sub(r"](results/\1", markdown)
