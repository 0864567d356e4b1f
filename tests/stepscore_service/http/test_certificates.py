"""TLS: certificates of the settings, what is wrong with them, and their renewal under a running service."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import structlog

from service_case import PROBLEM, STEPS, fake_scorer, live
from stepscore.errors import InvalidOption
from stepscore_service.http.certificates import Certificates
from stepscore_service.http.serve import serve
from stepscore_service.settings import Settings

ONE = {"problem": PROBLEM, "steps": STEPS}


def make(folder: Path, name: str, *, password: str = "") -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, both two seconds old."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    lock = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "2", *lock, *subject]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    for path in (certificate, key):
        age(path)
    return certificate, key


def age(path: Path) -> None:
    os.utime(path, (time.time() - 2,) * 2)


def name_shown(url: str, trusted: Path) -> str:
    """The common name of the certificate that a new connection meets."""
    where = urlsplit(url)
    context = ssl.create_default_context(cafile=str(trusted))
    with (
        socket.create_connection(("127.0.0.1", where.port or 0), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        found = secure.getpeercert()
    assert found is not None
    return dict(part[0] for part in found["subject"])["commonName"]  # type: ignore[misc]


def test_requests_are_answered_over_tls_only(folder: Path, tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "one")
    with live({"fake": fake_scorer(folder)}, tls_certificate=certificate, tls_key=key) as url:
        secure = url.replace("http://", "https://")
        trusted = ssl.create_default_context(cafile=str(certificate))
        assert httpx.post(f"{secure}/score", json=ONE, verify=trusted).is_success
        with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=20) as plain:
            plain.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert not plain.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_a_client_must_show_a_certificate_if_authorities_are_given(folder: Path, tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "one")
    own, own_key = make(tmp_path, "client")
    given = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": own}
    with live({"fake": fake_scorer(folder)}, **given) as url:
        secure = url.replace("http://", "https://")
        trusted = ssl.create_default_context(cafile=str(certificate))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{secure}/health/live", verify=trusted)
        trusted.load_cert_chain(own, own_key)
        assert httpx.get(f"{secure}/health/live", verify=trusted).is_success


def until(said: str, url: str, trusted: Path) -> None:
    """Returns when a new connection meets the certificate of that name, which `trusted` holds."""
    ends = time.monotonic() + 20
    while True:
        try:
            assert name_shown(url, trusted) == said
            return
        except ssl.SSLCertVerificationError:
            assert time.monotonic() < ends, "the certificate was not exchanged"
            time.sleep(0.1)


def test_new_connections_meet_a_renewed_certificate_and_a_damaged_one_is_not_taken(
    folder: Path, tmp_path: Path
) -> None:
    certificate, key = make(tmp_path, "old")
    renewed, renewed_key = make(tmp_path, "new")
    kept = shutil.copy(certificate, tmp_path / "old-kept.pem")
    with live({"fake": fake_scorer(folder)}, tls_certificate=certificate, tls_key=key) as url:
        secure = url.replace("http://", "https://")
        with httpx.Client(verify=ssl.create_default_context(cafile=str(kept))) as http:
            assert http.post(f"{secure}/score", json=ONE).is_success
            shutil.copy2(renewed, certificate)
            shutil.copy2(renewed_key, key)
            until("new", url, renewed)
            assert http.post(f"{secure}/score", json=ONE).is_success, "an open connection was lost"
        certificate.write_text("no certificate")
        age(certificate)
        time.sleep(1.5)
        assert name_shown(url, renewed) == "new"


def test_half_of_a_renewal_is_not_taken_and_said_once(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "old")
    renewed, renewed_key = make(tmp_path, "new")
    certificates = Certificates(certificate, key)
    with structlog.testing.capture_logs() as logs:
        shutil.copy(renewed, certificate)
        certificates.refresh()
        assert not logs, "it was written just now"
        age(certificate)
        certificates.refresh()
        certificates.refresh()
        shutil.copy2(renewed_key, key)
        certificates.refresh()
    assert [each["event"] for each in logs] == ["certificate_kept", "certificate_reread"]


@pytest.mark.usefixtures("logs_restored")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("absent", "No such file"),
        ("garbage", "is not a PEM file"),
        ("another key", "is not the key of"),
        ("no password", "--tls-key-password does not open"),
        ("wrong password", "--tls-key-password does not open"),
    ],
)
def test_files_that_cannot_be_used_are_named_before_any_model_is_opened(
    spoil: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = make(tmp_path, "one", password="right" if "password" in spoil else "")
    match spoil:
        case "absent":
            certificate.unlink()
        case "garbage":
            certificate.write_text("hello")
        case "another key":
            _, key = make(tmp_path, "two")
    password = "wrong" if spoil == "wrong password" else ""
    with pytest.raises(InvalidOption, match=said):
        Certificates(certificate, key, password)
    given = {"tls_certificate": certificate, "tls_key": key, "tls_key_password": password}
    assert serve(Settings(port=0, models=("/nowhere/at/all",), **given)) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert said in errors
