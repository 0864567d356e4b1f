"""The service as a container runs it: the variables of the image and the ConfigMap, the probes' paths, a SIGTERM."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from checkpoints import qwen_math

ROOT = Path(__file__).parents[2]
READY_SECONDS = 180


def variables():
    """STEPSCORE_* of the Dockerfile, overridden by those of the base's settings."""
    image = re.findall(r"\b(STEPSCORE_[A-Z_]+)=(\S+)", (ROOT / "Dockerfile").read_text())
    settings = (ROOT / "deploy/base/settings.env").read_text().splitlines()
    return dict(image) | dict(line.split("=", 1) for line in settings)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def container():
    (found,) = yaml.safe_load((ROOT / "deploy/base/deployment.yaml").read_text())["spec"]["template"]["spec"][
        "containers"
    ]
    return found


def wait_until_ready(url, process, log):
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url + container()["startupProbe"]["httpGet"]["path"], timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            """Not listening yet."""
        time.sleep(0.1)
    raise AssertionError(f"not ready in time: {log.read_text()}")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """(base URL, process); the only changes to the container's variables are the port, the address and the model."""
    stepscore = shutil.which("stepscore", path=str(Path(sys.executable).parent))
    assert stepscore, "the console script is not installed"
    folder = tmp_path_factory.mktemp("deploy")
    port = free_port()
    own = {"STEPSCORE_HOST": "127.0.0.1", "STEPSCORE_PORT": str(port), "STEPSCORE_MODELS": str(qwen_math(folder / "m"))}
    others = {name: value for name, value in os.environ.items() if not name.startswith("STEPSCORE_")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [stepscore, "serve"], env=others | {"OMP_NUM_THREADS": "1"} | variables() | own, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process, folder / "log")
        yield url, process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_probes_are_answered(service, probe):
    url, _ = service
    assert httpx.get(url + container()[probe]["httpGet"]["path"]).status_code == 200


def test_metrics_are_where_prometheus_looks_for_them(service):
    url, _ = service
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    annotations = yaml.safe_load((ROOT / "deploy/base/deployment.yaml").read_text())["spec"]["template"]["metadata"]
    assert scrape["metrics_path"] == annotations["annotations"]["prometheus.io/path"]
    text = httpx.get(url + scrape["metrics_path"]).text
    assert "\nstepscore_queue_tokens{" in text


def test_requests_are_counted_with_the_codes_that_alerts_choose_by(service):
    url, _ = service
    assert httpx.post(f"{url}/score", json={"problem": "1+1?", "steps": ["2"]}).status_code == 200
    assert httpx.post(f"{url}/score", json={"problem": "1+1?", "steps": []}).status_code == 422
    counted = re.findall(
        r'^stepscore_requests_total\{code="(\d+)",route="/score"\}', httpx.get(f"{url}/metrics").text, re.M
    )
    assert set(counted) == {"200", "422"}


def test_sigterm_ends_it_in_peace_within_the_grace(service):
    """Last in this file: it stops the server of the others."""
    _, process = service
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=float(variables()["STEPSCORE_DRAIN_SECONDS"])) == 0
