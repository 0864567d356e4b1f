"""API keys: who may do what. The file holds digests, never keys, and is reread when it changes."""

from __future__ import annotations

import hmac
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stepscore.errors import InvalidOption
from stepscore_service.errors import NotAuthorised, ScopeMissing
from stepscore_service.settings import Settings

Scope = Literal["score", "admin"]
REREAD_SECONDS = 1.0
"""How often the file is looked at, and for how long it must be unchanged: a writer may not have finished."""
NANOSECONDS = 1e9
PREFIX = "sk-prm-"
"""Of the keys that we make: secret scanners find a key that leaked by it."""

log = structlog.get_logger("stepscore.keys")


class ApiKey(BaseModel):
    """One line of the key file. sha256: of the key, which is random, so that a plain digest cannot be guessed back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[\w.@-]{1,64}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: frozenset[Scope] = frozenset({"score"})
    priority: Literal["interactive", "bulk"] = "interactive"
    tokens_per_minute: Annotated[int, Field(ge=0)] = 0

    @property
    def cache_salt(self) -> str:
        """Computed prefixes are shared only among requests of one key."""
        return sha256(b"stepscore cache salt " + self.sha256.encode()).hexdigest()[:32]


def digest_of(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def make_key() -> str:
    """A new key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file, one JSON object a line. Raises InvalidOption, also for a name or a key that comes twice."""
    try:
        rows = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidOption(f"the key file {path} cannot be read: {error.strerror}", path=str(path)) from error
    except UnicodeDecodeError as error:
        raise InvalidOption(f"the key file {path} is not UTF-8 text", path=str(path)) from error
    keys = tuple(_read_line(path, number, line) for number, line in enumerate(rows, 1) if line.strip())
    for field in ("name", "sha256"):
        seen = [getattr(key, field) for key in keys]
        if len(set(seen)) < len(seen):
            raise InvalidOption(f"two lines of the key file {path} have the same {field}; remove one", path=str(path))
    return keys


def _read_line(path: Path, number: int, line: str) -> ApiKey:
    try:
        return ApiKey.model_validate_json(line)
    except ValidationError as error:
        problems = "; ".join(": ".join([*map(str, each["loc"]), each["msg"]]) for each in error.errors())
        message = f"line {number} of the key file {path} is not a key: {problems}"
        raise InvalidOption(message, path=str(path), line=number) from error


class KeyRing:
    """The keys of the settings and of the key file. For the event loop."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises InvalidOption if the key file cannot be used."""
        self._path = settings.api_keys
        self._clock = clock
        self._fixed = _of_settings(settings)
        self._seen = self._stamp()
        self._looked = clock()
        self._read: Sequence[ApiKey] = _first_keys(self._path) if self._path else ()
        self._guards_scoring = bool(self._path or settings.api_key.get_secret_value())
        self._guards_admin = self._guards_scoring or bool(self._fixed)

    def guards(self, scope: Scope) -> bool:
        """Whether a key is needed."""
        return self._guards_admin if scope == "admin" else self._guards_scoring

    def admit(self, token: str, scope: Scope | None) -> ApiKey | None:
        """Whose token it is; None if it is nobody's and none is needed. scope: None takes any key.

        Raises NotAuthorised, or ScopeMissing if the key is good for other things.
        """
        found = self._find(token) if token else None
        if not self.guards(scope or "score"):
            return found if found is not None and scope in found.scopes else None
        if found is None:
            raise NotAuthorised("send a key of this service as `Authorization: Bearer KEY`")
        if scope is not None and scope not in found.scopes:
            raise ScopeMissing(f"the key {found.name} does not have the scope {scope}", scope=scope)
        return found

    def _find(self, token: str) -> ApiKey | None:
        """Compares with every key, each in constant time."""
        self._refresh()
        digest, found = digest_of(token), None
        for key in (*self._fixed, *self._read):
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def _refresh(self) -> None:
        now = self._clock()
        if self._path is None or now - self._looked < REREAD_SECONDS:
            return
        self._looked = now
        stamp = self._stamp()
        if stamp == self._seen or 0 <= time.time() - stamp[0] / NANOSECONDS < REREAD_SECONDS:
            return
        self._seen = stamp
        try:
            self._read = read_keys(self._path)
        except InvalidOption as error:
            log.error("keys_kept", reason=error.message)
        else:
            log.info("keys_reread", keys=len(self._read))

    def _stamp(self) -> tuple[int, int, int]:
        """Differs after the file was written or replaced; zeros if it is not there."""
        try:
            status = self._path.stat() if self._path else None
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_size, status.st_ino) if status else (0, 0, 0)


def _first_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys at the start. A file without keys would refuse everybody; one that others can write admits anybody."""
    keys = read_keys(path)
    if not keys:
        raise InvalidOption(f"the key file {path} holds no key; `stepscore key NAME --file {path}` adds one")
    if path.stat().st_mode & stat.S_IWOTH:
        log.warning("keys_writable", reason=f"every user of this machine may write {path}, and so add a key")
    return keys


def _of_settings(settings: Settings) -> tuple[ApiKey, ...]:
    scopes: Sequence[tuple[str, str, Scope]] = (
        ("api-key", settings.api_key.get_secret_value(), "score"),
        ("admin-token", settings.admin_token.get_secret_value(), "admin"),
    )
    return tuple(
        ApiKey(name=name, sha256=digest_of(key), scopes=frozenset({scope})) for name, key, scope in scopes if key
    )
