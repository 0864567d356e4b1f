"""The output folder: whole shards or none, the same run or a refusal."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from stepscore.errors import InvalidInput
from stepscore_service.jobs.label.folder import OutputError, OutputFolder
from stepscore_service.jobs.label.shard import FinishedShard

RUN = {"method": "monte-carlo", "options": {"k": 8}, "seed": 0}


def open_folder(path: Path, **changes: object) -> OutputFolder:
    return OutputFolder(path, RUN | changes, {"stepscore": "0"})


def finished_shard(index: int, rows: int = 2) -> FinishedShard:
    return FinishedShard(index, {"labels": f'{{"shard": {index}}}\n' * rows}, {"problems": rows, "rows": rows})


def test_a_folder_remembers_its_shards(tmp_path: Path) -> None:
    with closing(open_folder(tmp_path / "a" / "b")) as folder:
        folder.keep(finished_shard(1))
        folder.keep(finished_shard(0, 3))
    with closing(open_folder(tmp_path / "a" / "b")) as again:
        assert sorted(again.done) == [0, 1]
        assert again.totals == {"problems": 5, "rows": 5}
        assert (again.path / "labels-00001.jsonl").is_file()
    manifest = json.loads((tmp_path / "a" / "b" / "manifest.json").read_text())
    assert manifest["run"] == RUN
    assert manifest["shards"]["0"]["rows"] == 3


def test_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    open_folder(tmp_path).close()
    with pytest.raises(InvalidInput, match=r"seed was 0 and is 1") as caught:
        open_folder(tmp_path, seed=1)
    assert "options" not in caught.value.message


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with closing(open_folder(tmp_path)), pytest.raises(InvalidInput, match="another run is writing"):
        open_folder(tmp_path)


def test_files_of_unknown_origin_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels-00000.jsonl").write_text("{}\n")
    with pytest.raises(InvalidInput, match=r"labels-00000.jsonl but no manifest.json"):
        open_folder(tmp_path)


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_damaged_shard_is_made_again(tmp_path: Path, damage: str) -> None:
    with closing(open_folder(tmp_path)) as folder:
        folder.keep(finished_shard(0))
        folder.keep(finished_shard(1))
    shard = tmp_path / "labels-00001.jsonl"
    shard.unlink() if damage == "gone" else shard.write_text("{}\n")
    with closing(open_folder(tmp_path)) as again:
        assert sorted(again.done) == [0]


def test_a_broken_manifest_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"run": ')
    with pytest.raises(InvalidInput, match=r"manifest.json is damaged"):
        open_folder(tmp_path)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """A disk that is full, as a write meets it. Python ignores SIGXFSZ, so the write fails with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_half_shard(tmp_path: Path) -> None:
    with closing(open_folder(tmp_path)) as folder:
        folder.keep(finished_shard(0))
        with files_no_larger_than(4096), pytest.raises(OutputError, match=r"labels-00001.jsonl: File too large"):
            folder.keep(finished_shard(1, rows=1000))
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "labels-00000.jsonl", "manifest.json"]
    with closing(open_folder(tmp_path)) as again:
        assert sorted(again.done) == [0]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        open_folder(tmp_path / "file" / "out")
