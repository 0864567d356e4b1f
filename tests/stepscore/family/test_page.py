"""docs/families.md is what the register says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stepscore.family import page as families_page
from stepscore.family.registry import Family, families

PAGE = Path(__file__).parents[3] / "docs" / "families.md"
OWN = [family for family in families() if family.build.__module__.startswith("stepscore.families.")]


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == families_page.page(OWN), f"run {families_page.COMMAND}"


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    families_page.main([str(tmp_path / "families.md")])
    families_page.main([])
    assert (tmp_path / "families.md").read_text(encoding="utf-8") == capsys.readouterr().out == families_page.page(OWN)


@pytest.mark.parametrize("family", OWN, ids=lambda family: family.name)
def test_every_family_has_its_section(family: Family) -> None:
    section = families_page.page(OWN).split(f"\n## {family.name}\n")[1].split("\n## ")[0]
    assert all(source in section for source in family.source)
    assert all(name in section for name in (*family.checkpoints, family.licence, family.aggregate, *family.options))
    fences = re.findall(r"^(`{3,})text\n(.*?)\n\1$", section, re.MULTILINE | re.DOTALL)
    assert [text.replace("↵\n", "\n").removesuffix("↵") for _, text in fences] == [family.prompt.removesuffix("\n")]
    assert len(section.splitlines()) > 15, "the module's docstring argues the defaults"
