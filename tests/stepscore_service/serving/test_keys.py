"""API keys: read from a file of digests, reread when it changes, kept if the new file is damaged."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import structlog

from stepscore.errors import InvalidOption
from stepscore_service.errors import NotAuthorised, ScopeMissing
from stepscore_service.serving.keys import REREAD_SECONDS, ApiKey, KeyRing, Scope, digest_of, make_key, read_keys
from stepscore_service.settings import Settings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def line(name: str, key: str, *scopes: Scope) -> str:
    return ApiKey(name=name, sha256=digest_of(key), scopes=frozenset(scopes or ("score",))).model_dump_json() + "\n"


def write(path: Path, *lines: str, age: float = 2 * REREAD_SECONDS) -> None:
    """Replaces the file whole, as a secret's volume does. age: seconds ago."""
    part = path.with_suffix(".part")
    part.write_text("".join(lines))
    os.utime(part, (time.time() - age,) * 2)
    part.replace(path)


def test_a_key_opens_what_its_scopes_name(tmp_path: Path) -> None:
    write(tmp_path / "keys", line("ann", "k1"), line("root", "k2", "score", "admin"))
    ring = KeyRing(Settings(api_keys=tmp_path / "keys"))
    for token, scope, name in (("k1", "score", "ann"), ("k2", "score", "root"), ("k2", "admin", "root")):
        found = ring.admit(token, scope)
        assert found is not None
        assert found.name == name
    with pytest.raises(ScopeMissing):
        ring.admit("k1", "admin")
    for wrong in ("", "k3", "k1 ", digest_of("k1")):
        with pytest.raises(NotAuthorised):
            ring.admit(wrong, "score")


def test_without_keys_nothing_is_guarded() -> None:
    assert KeyRing(Settings()).admit("", "score") is None
    assert KeyRing(Settings()).admit("anything", "admin") is None


def test_an_admin_token_alone_guards_admin_alone() -> None:
    ring = KeyRing(Settings(admin_token="root"))  # type: ignore[arg-type]
    assert ring.admit("", "score") is None
    assert ring.admit("root", "score") is None
    with pytest.raises(NotAuthorised):
        ring.admit("", "admin")
    assert ring.admit("root", "admin") is not None


def test_one_key_of_the_settings_opens_scoring(tmp_path: Path) -> None:
    ring = KeyRing(Settings(api_key="one"))  # type: ignore[arg-type]
    assert ring.admit("one", "score") is not None
    with pytest.raises(NotAuthorised):
        ring.admit("", "score")
    with pytest.raises(ScopeMissing):
        ring.admit("one", "admin")


def test_a_changed_file_counts_without_a_restart_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys", Clock()
    write(path, line("old", "k1"))
    ring = KeyRing(Settings(api_keys=path), clock)
    assert ring.admit("k1", "score") is not None
    write(path, line("new", "k2"))
    clock.now += REREAD_SECONDS
    assert ring.admit("k2", "score") is not None
    with pytest.raises(NotAuthorised):
        ring.admit("k1", "score")
    write(path, "not a key\n")
    clock.now += REREAD_SECONDS
    assert ring.admit("k2", "score") is not None
    path.unlink()
    clock.now += REREAD_SECONDS
    assert ring.admit("k2", "score") is not None


def test_a_file_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys", Clock()
    write(path, line("ann", "k1"), line("bob", "k2"))
    ring = KeyRing(Settings(api_keys=path), clock)
    write(path, line("ann", "k1"), age=0.0)
    clock.now += REREAD_SECONDS
    assert ring.admit("k2", "score") is not None
    write(path, line("ann", "k1"))
    clock.now += REREAD_SECONDS
    with pytest.raises(NotAuthorised):
        ring.admit("k2", "score")


def test_a_file_whose_last_key_is_removed_admits_nobody(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys", Clock()
    write(path, line("ann", "k1"))
    ring = KeyRing(Settings(api_keys=path), clock)
    write(path)
    clock.now += REREAD_SECONDS
    with pytest.raises(NotAuthorised):
        ring.admit("k1", "score")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"nonsense\n", "line 1 of the key file"),
        (line("a", "k1").encode() + b'\n{"name": "a"}\n', "line 3 of the key file .* sha256"),
        (b'{"name": "a b", "sha256": "00"}\n', "line 1 of the key file .* name"),
        ((line("a", "k1") + line("a", "k2")).encode(), "the same name"),
        ((line("a", "k1") + line("b", "k1")).encode(), "the same sha256"),
        (line("a", "k1").encode("utf-16"), "is not UTF-8 text"),
        (b"", "holds no key"),
        (b"\n \n", "holds no key"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_and_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(InvalidOption, match=said):
        KeyRing(Settings(api_keys=tmp_path / "keys"))


def test_a_file_that_others_may_write_is_warned_of(tmp_path: Path) -> None:
    write(tmp_path / "keys", line("ann", "k1"))
    for mode, warned in ((0o644, False), (0o666, True)):
        (tmp_path / "keys").chmod(mode)
        with structlog.testing.capture_logs() as logs:
            KeyRing(Settings(api_keys=tmp_path / "keys"))
        assert [each["event"] for each in logs] == ["keys_writable"] * warned


def test_the_error_of_a_damaged_file_does_not_repeat_it(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("sk-prm-someone-pasted-a-key\n")
    with pytest.raises(InvalidOption) as caught:
        read_keys(tmp_path / "keys")
    assert "pasted" not in str(caught.value)


def test_keys_are_random_and_salts_differ() -> None:
    keys = [make_key() for _ in range(20)]
    assert len(set(keys)) == 20
    assert all(len(key) >= 43 for key in keys)
    assert len({ApiKey(name="a", sha256=digest_of(key)).cache_salt for key in keys}) == 20
