"""docker-compose.yml: valid, hardened, and of one mind with the image, the settings and Prometheus."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from stepscore_service.settings import Settings

ROOT = Path(__file__).parents[2]


def test_docker_compose_accepts_it(tool):
    result = tool("docker-compose", "config", "--quiet")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("profile", "served"), [("cpu", "stepscore"), ("gpu", "stepscore-gpu")])
def test_each_profile_serves_one_model_beside_prometheus_and_grafana(compose, profile, served):
    started = {name for name, each in compose["services"].items() if profile in each.get("profiles", [profile])}
    assert started == {served, "prometheus", "grafana"}


def test_a_gpu_changes_the_image_the_device_and_the_memory(compose):
    on_cpu, on_gpu = compose["services"]["stepscore"], compose["services"]["stepscore-gpu"]
    assert {key for key in on_gpu if on_gpu[key] != on_cpu.get(key)} == {
        "profiles",
        "build",
        "image",
        "environment",
        "networks",
        "tmpfs",
        "deploy",
    }
    assert on_gpu["build"]["target"] == "cuda"
    assert on_gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert on_gpu["environment"].items() >= on_cpu["environment"].items()
    assert on_gpu["networks"]["default"]["aliases"] == ["stepscore"]


def test_environment_is_settings_with_valid_values(compose):
    given = compose["services"]["stepscore"]["environment"]
    fields = {name.removeprefix("STEPSCORE_").lower(): value for name, value in given.items()}
    assert set(fields) <= set(Settings.model_fields)
    assert Settings(**fields).host == "0.0.0.0"


def test_containers_are_hardened(compose):
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name


def test_ports_are_published_on_this_machine_alone(compose):
    published = [port for service in compose["services"].values() for port in service["ports"]]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_grace_is_longer_than_the_drain(compose):
    service = compose["services"]["stepscore"]
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace > float(service["environment"]["STEPSCORE_DRAIN_SECONDS"])


def test_health_check_asks_the_port_that_is_served(compose):
    service = compose["services"]["stepscore"]
    (url,) = [part for part in service["healthcheck"]["test"][-1].split("'") if part.startswith("http")]
    assert urlsplit(url).port == int(service["environment"]["STEPSCORE_PORT"])
    assert urlsplit(url).path == "/health/ready"


def test_prometheus_scrapes_the_service_by_its_name(compose):
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    targets = config["scrape_configs"][0]["static_configs"][0]["targets"]
    port = compose["services"]["stepscore"]["environment"]["STEPSCORE_PORT"]
    assert targets == [f"stepscore:{port}"]


def test_no_volume_hides_the_prepared_checkpoint(compose):
    targets = [volume.split(":")[1] for volume in compose["services"]["stepscore"]["volumes"]]
    assert not any(os.path.commonpath([target, "/var/cache/stepscore"]) == target for target in targets)
