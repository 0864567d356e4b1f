"""Files and folders appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepscore_service.jobs.runs import atomic


def write_half(path: Path, error: type[BaseException]) -> None:
    with atomic.atomic_file(path) as file:
        file.write(b"half")
        raise error


def fill_half(folder: Path) -> None:
    with atomic.atomic_folder(folder) as part:
        (part / "old").write_text("x")
        raise ValueError("half")


def test_a_file_appears_when_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with atomic.atomic_file(path) as file:
        file.write(b"after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_when_its_block_ends_and_an_earlier_attempt_is_cleared(tmp_path: Path) -> None:
    whole = tmp_path / "round"
    with pytest.raises(ValueError, match="half"):
        fill_half(whole)
    assert not whole.exists()
    with atomic.atomic_folder(whole) as part:
        (part / "new").write_text("y")
    assert [file.name for file in whole.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [whole]


def test_files_move_into_a_folder_beside_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("k")
    with atomic.files_into(tmp_path, last="b") as part:
        for name in "cba":
            (part / name).write_text(name)
        assert not (tmp_path / "b").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b", "c", "kept"]
