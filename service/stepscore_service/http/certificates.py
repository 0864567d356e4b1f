"""TLS: the server's certificate, reread when its files change, so that a renewal needs no restart."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from stepscore.errors import InvalidOption
from stepscore_service.settings import Settings

NANOSECONDS = 1e9
SETTLE_SECONDS = 1.0

log = structlog.get_logger("stepscore.certificates")


class Certificates:
    """A certificate chain with its key, and perhaps the authorities of clients' certificates.

    context: what connections are opened with; new ones meet the files as they were at the last `refresh`.
    """

    def __init__(self, certificate: Path, key: Path, password: str = "", client_ca: Path | None = None) -> None:
        """Raises InvalidOption if the files cannot be used."""
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._password = password
        self._seen = self._stamp()
        self.context = self._load()

    def refresh(self) -> None:
        """Use files that have changed. While they cannot be used, the last good ones stay; the log says so once.

        Authorities of clients are only added: to withdraw one, restart the service.
        """
        stamp = self._stamp()
        if stamp == self._seen or not _has_settled(stamp):
            return
        self._seen = stamp
        try:
            self._load()
        except InvalidOption as error:
            log.error("certificate_kept", reason=error.message)
        else:
            self._load_into(self.context)
            log.info("certificate_reread", certificate=str(self._certificate))

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            self._load_into(context)
        except OSError as error:  # SSLError is one
            raise InvalidOption(f"the TLS certificate cannot be used: {self._reason(error)}") from error
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _load_into(self, context: ssl.SSLContext) -> None:
        """With a password in any case: without one OpenSSL would ask at the terminal."""
        context.load_cert_chain(self._certificate, self._key, lambda: self._password or "none was given")
        if self._client_ca is not None:
            context.load_verify_locations(self._client_ca)

    def _reason(self, error: OSError) -> str:
        for path in self._paths():
            try:
                path.read_bytes()
            except OSError as unreadable:
                return f"{path}: {unreadable.strerror}"
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            return f"{self._key} is not the key of {self._certificate}"
        if "ENCRYPTED" in self._key.read_text(encoding="latin-1"):
            return f"--tls-key-password does not open {self._key}"
        return f"{self._certificate} or {self._key} is not a PEM file of the right kind ({error})"

    def _paths(self) -> list[Path]:
        return [path for path in (self._certificate, self._key, self._client_ca) if path is not None]

    def _stamp(self) -> list[tuple[int, int]]:
        """Differs after a file was written or replaced."""
        try:
            return [(status.st_mtime_ns, status.st_ino) for status in (path.stat() for path in self._paths())]
        except OSError:
            return []


def _has_settled(stamp: Sequence[tuple[int, int]]) -> bool:
    """Whether the files have been left alone for a second: whoever renews them may not have written both yet."""
    return not any(0 <= time.time() - changed / NANOSECONDS < SETTLE_SECONDS for changed, _ in stamp)


def open_certificates(settings: Settings) -> Certificates | None:
    """Those that the settings name; None without TLS. Raises InvalidOption."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    password = settings.tls_key_password.get_secret_value()
    return Certificates(settings.tls_certificate, settings.tls_key, password, settings.tls_client_ca)
