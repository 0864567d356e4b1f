"""API keys: who may do what. The file holds digests, never keys, and is reread when it changes."""

from __future__ import annotations

import hmac
import secrets
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
"""How often the file is looked at."""
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
    """The keys of a file, one JSON object a line. Raises InvalidOption."""
    try:
        rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        keys = tuple(ApiKey.model_validate_json(line) for line in rows)
    except OSError as error:
        raise InvalidOption(f"the key file {path} cannot be read: {error.strerror}", path=str(path)) from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise InvalidOption(f"the key file {path} has a line that is not a key: {problems}", path=str(path)) from error
    names = [key.name for key in keys]
    if len(set(names)) < len(names):
        raise InvalidOption(f"the key file {path} has two keys of one name", path=str(path))
    return keys


class KeyRing:
    """The keys of the settings and of the key file. For the event loop."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises InvalidOption if the key file cannot be used."""
        self._path = settings.api_keys
        self._clock = clock
        self._fixed = _of_settings(settings)
        self._seen = self._stamp()
        self._looked = clock()
        self._read: Sequence[ApiKey] = read_keys(self._path) if self._path else ()
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
        if stamp == self._seen:
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


def _of_settings(settings: Settings) -> tuple[ApiKey, ...]:
    scopes: Sequence[tuple[str, str, Scope]] = (
        ("api-key", settings.api_key.get_secret_value(), "score"),
        ("admin-token", settings.admin_token.get_secret_value(), "admin"),
    )
    return tuple(
        ApiKey(name=name, sha256=digest_of(key), scopes=frozenset({scope})) for name, key, scope in scopes if key
    )
