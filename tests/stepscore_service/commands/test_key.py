"""`stepscore key`: a key is printed once, and a file that `stepscore serve` reads holds its digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_case import invoke
from stepscore_service.serving.keys import KeyRing, digest_of, read_keys
from stepscore_service.settings import Settings


def test_the_key_that_is_printed_opens_the_service(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    first = invoke("key", "ann", "--file", file, "--bulk", "--tokens-per-minute", "600")
    second = invoke("key", "root", "--file", file, "--admin")
    ann, root = read_keys(file)
    assert (ann.name, ann.priority, ann.tokens_per_minute) == ("ann", "bulk", 600)
    assert ann.sha256 == digest_of(first.stdout.strip())
    assert root.scopes == {"score", "admin"}
    assert KeyRing(Settings(api_keys=file)).admit(second.stdout.strip(), "admin") == root
    assert first.stdout.strip() not in file.read_text()


def test_a_line_that_was_left_without_its_end_stays_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    invoke("key", "ann", "--file", file)
    file.write_text(file.read_text().rstrip("\n"))
    assert invoke("key", "bob", "--file", file).exit_code == 0
    assert [key.name for key in read_keys(file)] == ["ann", "bob"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a b", None, "is not a name"),
        ("ann", '{"name": "ann", "sha256": "%s"}' % ("0" * 64), "has a key named ann"),
        ("ann", "nonsense", "line 1 of the key file"),
    ],
)
def test_what_cannot_be_added_says_why_and_changes_nothing(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    file = tmp_path / "keys.jsonl"
    if content is not None:
        file.write_text(content)
    found = invoke("key", name, "--file", file)
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr.replace("\n", " ")
    assert (file.read_text() if file.exists() else None) == content


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    found = invoke("key", "ann", "--file", tmp_path / "absent" / "keys.jsonl")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "cannot be written: No such file" in found.stderr.replace("\n", " ")
