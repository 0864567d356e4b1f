"""deploy/base and its overlays, as kustomize builds them: schemas, probes, drain, ports, rights."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from stepscore_service.settings import Settings

ROOT = Path(__file__).parents[2]
OVERLAYS = ("base", "overlays/gpu", "overlays/queue")
CUSTOM_KINDS = {"ScaledObject"}
"""Of KEDA, whose schemas Kubernetes does not carry."""

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@pytest.fixture
def deployment(manifests):
    return lambda overlay: manifests(overlay)["Deployment"]["spec"]


def container_of(spec):
    (container,) = spec["template"]["spec"]["containers"]
    return container


@each_overlay
@pytest.mark.filterwarnings("ignore::DeprecationWarning:kubernetes_validate")
@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
def test_objects_meet_the_schemas_of_kubernetes(build, overlay, version):
    for document in yaml.safe_load_all(build(overlay)):
        if document["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(document, version, strict=True)


@each_overlay
def test_no_namespace_is_chosen_for_the_user(build, overlay):
    assert not any("namespace" in document["metadata"] for document in yaml.safe_load_all(build(overlay)))


@each_overlay
def test_config_map_holds_settings_with_valid_values(manifests, overlay):
    given = manifests(overlay)["ConfigMap"]["data"]
    fields = {name.removeprefix("STEPSCORE_").lower(): value for name, value in given.items()}
    assert set(fields) <= set(Settings.model_fields)
    assert Settings(**fields).host == "0.0.0.0"


@each_overlay
def test_settings_are_those_of_the_generated_config_map(manifests, overlay):
    found = manifests(overlay)
    (source,) = container_of(found["Deployment"]["spec"])["envFrom"]
    assert source["configMapRef"]["name"] == found["ConfigMap"]["metadata"]["name"] != "stepscore-settings"


@each_overlay
def test_kubernetes_adds_no_variables_that_the_settings_refuse(deployment, overlay):
    """A Service named stepscore would set STEPSCORE_PORT=tcp://... in every pod."""
    assert deployment(overlay)["template"]["spec"]["enableServiceLinks"] is False


@each_overlay
def test_ports_agree(manifests, overlay):
    found = manifests(overlay)
    (port,) = container_of(found["Deployment"]["spec"])["ports"]
    (exposed,) = found["Service"]["spec"]["ports"]
    annotations = found["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert port["name"] == exposed["targetPort"] == "http"
    assert str(port["containerPort"]) == found["ConfigMap"]["data"]["STEPSCORE_PORT"]
    assert annotations["prometheus.io/port"] == found["ConfigMap"]["data"]["STEPSCORE_PORT"]


@each_overlay
def test_selectors_meet_the_labels_of_the_pods(manifests, overlay):
    found = manifests(overlay)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        found["Service"]["spec"]["selector"],
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector and selector.items() <= labels.items() for selector in selectors)


@each_overlay
def test_probes_ask_what_they_are_for(deployment, overlay):
    container = container_of(deployment(overlay))
    paths = {kind: container[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {
        "startupProbe": "/health/ready",
        "livenessProbe": "/health/live",
        "readinessProbe": "/health/ready",
    }
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600


@each_overlay
def test_grace_is_longer_than_pause_and_drain(manifests, overlay):
    found = manifests(overlay)
    pod = found["Deployment"]["spec"]["template"]["spec"]
    command, pause = container_of(found["Deployment"]["spec"])["lifecycle"]["preStop"]["exec"]["command"]
    drain = float(found["ConfigMap"]["data"]["STEPSCORE_DRAIN_SECONDS"])
    assert command == "sleep"
    assert pod["terminationGracePeriodSeconds"] > float(pause) + drain


@each_overlay
def test_pods_have_no_more_rights_than_they_need(deployment, overlay):
    pod = deployment(overlay)["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container_of(deployment(overlay))["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@each_overlay
def test_user_is_that_of_the_image(deployment, overlay):
    user = deployment(overlay)["template"]["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in (ROOT / "Dockerfile").read_text()


@each_overlay
def test_no_mount_hides_the_prepared_checkpoint(deployment, overlay):
    mounts = [mount["mountPath"] for mount in container_of(deployment(overlay))["volumeMounts"]]
    assert not any(os.path.commonpath([mount, "/var/cache/stepscore"]) == mount for mount in mounts)


@each_overlay
def test_image_is_this_version(deployment, overlay):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    suffix = "-gpu" if overlay == "overlays/gpu" else ""
    assert container_of(deployment(overlay))["image"] == f"stepscore:{version}{suffix}"


def test_gpu_pods_ask_for_one_and_go_where_they_are(deployment):
    spec = deployment("overlays/gpu")
    (toleration,) = spec["template"]["spec"]["tolerations"]
    assert container_of(spec)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert toleration["key"] == "nvidia.com/gpu"
    assert "nvidia.com/gpu" not in container_of(deployment("base"))["resources"]["limits"]


def test_one_autoscaler_at_most_owns_the_replicas(manifests):
    kinds = {overlay: set(manifests(overlay)) for overlay in OVERLAYS}
    scalers = {overlay: found & {"HorizontalPodAutoscaler", "ScaledObject"} for overlay, found in kinds.items()}
    assert scalers == {
        "base": {"HorizontalPodAutoscaler"},
        "overlays/gpu": set(),
        "overlays/queue": {"ScaledObject"},
    }
    assert "replicas" not in manifests("base")["Deployment"]["spec"]


def test_autoscalers_name_the_deployment(manifests):
    base, queue = manifests("base"), manifests("overlays/queue")
    name = base["Deployment"]["metadata"]["name"]
    assert base["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == name
    assert queue["ScaledObject"]["spec"]["scaleTargetRef"]["name"] == name
