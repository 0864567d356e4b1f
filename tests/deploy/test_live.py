"""The service as a container runs it: the variables of the image and the ConfigMap, the probes' paths, a SIGTERM."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from checkpoints import qwen_math
from cli_case import invoke
from service_case import free_port

ROOT = Path(__file__).parents[2]
READY_SECONDS = 180


def variables():
    """STEPSCORE_* of the Dockerfile, overridden by those of the base's settings, these by those of its container."""
    image = re.findall(r"\b(STEPSCORE_[A-Z_]+)=(\S+)", (ROOT / "Dockerfile").read_text())
    settings = (ROOT / "deploy/base/settings.env").read_text().splitlines()
    own = {each["name"]: each["value"] for each in container()["env"] if "value" in each}
    return dict(image) | dict(line.split("=", 1) for line in settings) | own


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


@dataclass
class Running:
    """url, admin_url: of the two ports. key: one that may score."""

    url: str
    admin_url: str
    key: str
    process: subprocess.Popen


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The only changes to the container's variables are the ports, the address, the model and the place of the keys."""
    stepscore = shutil.which("stepscore", path=str(Path(sys.executable).parent))
    assert stepscore, "the console script is not installed"
    folder = tmp_path_factory.mktemp("deploy")
    ports, keys = [free_port(), free_port()], folder / "keys.jsonl"
    key = invoke("key", "alice", "--file", str(keys)).stdout.strip()
    own = {
        "STEPSCORE_HOST": "127.0.0.1",
        "STEPSCORE_PORT": str(ports[0]),
        "STEPSCORE_ADMIN_PORT": str(ports[1]),
        "STEPSCORE_API_KEYS": str(keys),
        "STEPSCORE_MODELS": str(qwen_math(folder / "m")),
    }
    assert own.keys() <= variables().keys() | {"STEPSCORE_MODELS"}
    others = {name: value for name, value in os.environ.items() if not name.startswith("STEPSCORE_")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [stepscore, "serve"], env=others | {"OMP_NUM_THREADS": "1"} | variables() | own, stdout=log, stderr=log
        )
    url, admin_url = (f"http://127.0.0.1:{port}" for port in ports)
    try:
        wait_until_ready(url, process, folder / "log")
        yield Running(url, admin_url, key, process)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_probes_are_answered(service, probe):
    assert httpx.get(service.url + container()[probe]["httpGet"]["path"]).status_code == 200


def test_metrics_are_where_prometheus_looks_for_them_and_nowhere_else(service):
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    annotations = yaml.safe_load((ROOT / "deploy/base/deployment.yaml").read_text())["spec"]["template"]["metadata"]
    monitor = yaml.safe_load((ROOT / "deploy/components/monitoring/podmonitor.yaml").read_text())["spec"]
    path = scrape["metrics_path"]
    assert path == annotations["annotations"]["prometheus.io/path"] == monitor["podMetricsEndpoints"][0]["path"]
    assert "\nstepscore_queue_tokens{" in httpx.get(service.admin_url + path).text
    assert httpx.get(service.url + path).status_code == 404


def test_requests_are_counted_with_the_codes_that_alerts_choose_by(service):
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {service.key}"}) as client:
        assert client.post("/score", json={"problem": "1+1?", "steps": ["2"]}).status_code == 200
        assert client.post("/score", json={"problem": "1+1?", "steps": []}).status_code == 422
    assert httpx.post(f"{service.url}/score", json={"problem": "1+1?", "steps": ["2"]}).status_code == 401
    counted = re.findall(
        r'^stepscore_requests_total\{code="(\d+)",route="/score"\}',
        httpx.get(f"{service.admin_url}/metrics").text,
        re.M,
    )
    assert set(counted) == {"200", "401", "422"}


def test_sigterm_ends_it_in_peace_within_the_grace(service):
    """Last in this file: it stops the server of the others."""
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=float(variables()["STEPSCORE_DRAIN_SECONDS"])) == 0
