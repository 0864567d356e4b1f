"""deploy/base and its overlays, as kustomize builds them: schemas, probes, drain, ports, rights."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement

from cli_case import invoke
from stepscore_service.client.asynchronous import session_headers
from stepscore_service.settings import Settings

ROOT = Path(__file__).parents[2]
MODELS = {"overlays/1.5b": 1.54e9, "overlays/7b": 7.07e9, "overlays/72b": 72.7e9, "overlays/vllm": 7.07e9}
"""Overlays that fetch weights, and the parameters of their models."""

OVERLAYS = ("base", "overlays/cpu", "overlays/gpu", "overlays/queue", *MODELS)
COMPONENTS = (
    *("open", "hpa-queue", "keda", "monitoring", "network-policy"),
    *("prefix-affinity", "gateway", "inference-pool"),
)
JOBS = ("label", "train", "evaluate")
CUSTOM = {"keda.sh", "monitoring.coreos.com", "gateway.networking.k8s.io", "gateway.envoyproxy.io", "ray.io"} | {
    "inference.networking.k8s.io"
}
"""Groups whose schemas Kubernetes does not carry; CRDS=FOLDER names one with the definitions of their projects."""

GIB = 1 << 30
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
(RAY,) = [each for each in EXTRAS["ray"] if each.startswith("ray[")]

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@pytest.fixture
def deployment(manifests):
    return lambda overlay, *components: manifests(overlay, *components)["Deployment"]["spec"]


def container_of(spec):
    (container,) = spec["template"]["spec"]["containers"]
    return container


def variables_of(found):
    """What the container sees: its own variables, and those of the ConfigMap."""
    own = container_of(found["Deployment"]["spec"])["env"]
    return found["ConfigMap"]["data"] | {each["name"]: each["value"] for each in own if "value" in each}


def settings_of(found):
    given = variables_of(found).items()
    return {name.removeprefix("STEPSCORE_").lower(): value for name, value in given if name.startswith("STEPSCORE_")}


def objects(build):
    """Every object of deploy/: of overlays, of each component, of jobs and of Ray."""
    for overlay in OVERLAYS:
        yield from yaml.safe_load_all(build(overlay))
    for component in COMPONENTS:
        yield from yaml.safe_load_all(build("overlays/gpu", component))
    for file in [*(ROOT / "deploy/jobs").glob("*.yaml"), *(ROOT / "deploy/ray").glob("*.yaml")]:
        yield from yaml.safe_load_all(file.read_text())


def is_custom(document):
    return document["apiVersion"].partition("/")[0] in CUSTOM


@pytest.mark.filterwarnings("ignore::DeprecationWarning:kubernetes_validate")
@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
def test_objects_meet_the_schemas_of_kubernetes(build, version):
    checked = [document for document in objects(build) if not is_custom(document)]
    for document in checked:
        kubernetes_validate.validate(document, version, strict=True)
    assert {"Deployment", "Job", "Ingress", "NetworkPolicy", "PersistentVolumeClaim"} <= {
        document["kind"] for document in checked
    }


def test_objects_of_other_projects_meet_their_definitions(build):
    """As the API server checks them, but for rules in CEL; what a definition does not name is an error."""
    if "CRDS" not in os.environ:
        pytest.skip("CRDS does not name a folder with custom resource definitions")
    definitions = [
        document["spec"]
        for file in Path(os.environ["CRDS"]).glob("*.yaml")
        for document in yaml.safe_load_all(file.read_text())
        if document and document["kind"] == "CustomResourceDefinition"
    ]
    schemas = {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): closed(version["schema"]["openAPIV3Schema"])
        for spec in definitions
        for version in spec["versions"]
    }
    for document in filter(is_custom, objects(build)):
        jsonschema.validate(document, schemas[document["apiVersion"], document["kind"]])


def closed(schema):
    """An object has the properties that are named, unless the schema says more. metadata is Kubernetes' own."""
    if "pattern" in schema:  # Go allows flags in the middle
        schema = {**schema, "pattern": schema["pattern"].replace("^(?i)", "(?i)^")}
    named = schema.get("properties")
    if named is None:
        return {
            key: closed(value) if key in ("items", "additionalProperties") else value for key, value in schema.items()
        }
    properties = {name: value if name == "metadata" else closed(value) for name, value in named.items()}
    open_ = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    return {**schema, "properties": properties, **({} if open_ else {"additionalProperties": False})}


@each_overlay
def test_no_namespace_is_chosen_for_the_user(build, overlay):
    assert not any("namespace" in document["metadata"] for document in yaml.safe_load_all(build(overlay)))


@each_overlay
def test_variables_are_settings_with_valid_values(manifests, overlay):
    given = settings_of(manifests(overlay))
    assert set(given) <= set(Settings.model_fields)
    assert Settings(**given).host == "0.0.0.0"


@each_overlay
def test_pods_ask_for_keys_that_a_secret_holds(manifests, overlay):
    found = manifests(overlay)
    settings = Settings(**settings_of(found))
    assert not settings.insecure
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (mount,) = [each for each in container_of(found["Deployment"]["spec"])["volumeMounts"] if each["name"] == "keys"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "keys"]
    assert settings.api_keys == Path(mount["mountPath"]) / "keys.jsonl"
    assert "subPath" not in mount, "a changed Secret would not arrive"
    assert volume["secret"]["secretName"] == "stepscore-keys"


def test_a_closed_network_may_do_without_keys(manifests):
    found = manifests("overlays/gpu", "open")
    assert settings_of(found)["insecure"] == "true"
    assert "keys" not in [each["name"] for each in found["Deployment"]["spec"]["template"]["spec"]["volumes"]]
    assert Settings(**settings_of(found)).api_keys is None


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
    ports = {port["name"]: port["containerPort"] for port in container_of(found["Deployment"]["spec"])["ports"]}
    settings = Settings(**settings_of(found))
    assert ports == {"http": settings.port, "admin": settings.admin_port}
    (exposed,) = found["Service"]["spec"]["ports"]
    assert exposed["targetPort"] == "http"
    annotations = found["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(settings.admin_port)


def test_components_name_ports_and_objects_that_exist(manifests):
    found = manifests("overlays/gpu", "monitoring", "network-policy", "prefix-affinity", "gateway")
    ports = {port["name"] for port in container_of(found["Deployment"]["spec"])["ports"]}
    (endpoint,) = found["PodMonitor"]["spec"]["podMetricsEndpoints"]
    allowed = {port["port"] for rule in found["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]}
    assert {endpoint["port"]} | allowed == ports
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["PodMonitor"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (exposed,) = found["Service"]["spec"]["ports"]
    (path,) = found["Ingress"]["spec"]["rules"][0]["http"]["paths"]
    (route,) = found["HTTPRoute"]["spec"]["rules"]
    assert path["backend"]["service"] == {
        "name": found["Service"]["metadata"]["name"],
        "port": {"name": exposed["name"]},
    }
    assert route["backendRefs"] == [{"name": found["Service"]["metadata"]["name"], "port": exposed["port"]}]


def test_an_endpoint_picker_reads_the_metrics_of_the_pool(manifests):
    """On the port that serves, without a key."""
    found = manifests("overlays/gpu", "inference-pool")
    settings = Settings(**settings_of(found))
    assert settings.admin_port is None
    assert not settings.needs_key
    assert found["InferencePool"]["spec"]["targetPorts"] == [{"number": settings.port}]
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["InferencePool"]["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_proxies_hash_the_header_that_our_client_sends():
    (header,) = session_headers({"problem": "1+1?"})
    policy = yaml.safe_load((ROOT / "deploy/components/gateway/affinity.yaml").read_text())["spec"]["loadBalancer"]
    assert policy["consistentHash"]["headers"] == [{"name": header}]
    picker = yaml.safe_load((ROOT / "deploy/components/inference-pool/picker.yaml").read_text())["plugins"]
    (affinity,) = [plugin for plugin in picker if plugin["type"] == "session-affinity-scorer"]
    assert affinity["parameters"]["sessionIdConfig"]["sources"] == [{"header": header.lower()}]
    variable = "$http_" + header.lower().replace("-", "_")
    assert variable in (ROOT / "deploy/proxy/nginx.conf").read_text()


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
    drain = Settings(**settings_of(found)).drain_seconds
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


@pytest.mark.parametrize(
    ("overlay", "target"),
    [
        *[(overlay, "") for overlay in ("base", "overlays/cpu", "overlays/1.5b")],
        *[(overlay, "-cuda") for overlay in ("overlays/gpu", "overlays/7b")],
        *[(overlay, "-vllm") for overlay in ("overlays/72b", "overlays/vllm")],
    ],
)
def test_images_are_targets_of_this_version(deployment, overlay, target):
    pod = deployment(overlay)["template"]["spec"]
    images = {container["image"] for container in pod["containers"] + pod.get("initContainers", [])}
    assert images == {f"stepscore:{VERSION}{target}"}
    assert f"FROM {'cuda-runtime' if target else 'runtime'} AS {target[1:] or 'cpu'}\n" in DOCKERFILE


@pytest.mark.parametrize("overlay", ["overlays/gpu", "overlays/7b", "overlays/72b", "overlays/vllm"])
def test_gpu_pods_ask_for_some_go_where_they_are_and_can_write_what_they_compile(deployment, overlay):
    spec = deployment(overlay)
    pod, container = spec["template"]["spec"], container_of(spec)
    (toleration,) = pod["tolerations"]
    assert toleration["key"] == "nvidia.com/gpu"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == ("4" if overlay == "overlays/72b" else "1")
    mounts = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    folders = {
        each["name"]: each["value"] for each in container["env"] if each.get("value", "").startswith("/var/cache")
    }
    assert {"HOME", "TORCHINDUCTOR_CACHE_DIR", "VLLM_CACHE_ROOT"} == set(folders)
    assert all(any(Path(folder).is_relative_to(mount) for mount in mounts) for folder in folders.values())
    assert "nvidia.com/gpu" not in container_of(deployment("base"))["resources"]["limits"]


@pytest.mark.parametrize("overlay", list(MODELS))
def test_weights_are_fetched_before_the_start_by_the_only_container_that_sees_the_token(manifests, overlay):
    found = manifests(overlay)
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (fetching,), serving = pod["initContainers"], container_of(found["Deployment"]["spec"])
    assert fetching["command"] == ["stepscore", "fetch"]
    wanted = {each["name"]: each.get("valueFrom") for each in fetching["env"]}
    assert wanted["HF_TOKEN"]["secretKeyRef"] == {"name": "stepscore-hub", "key": "HF_TOKEN", "optional": True}
    assert wanted["STEPSCORE_MODELS"]["configMapKeyRef"]["name"] == found["ConfigMap"]["metadata"]["name"]
    assert "HF_TOKEN" not in [each["name"] for each in serving["env"]]
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in serving["env"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "huggingface"]
    assert volume["persistentVolumeClaim"]["claimName"] == found["PersistentVolumeClaim"]["metadata"]["name"]
    for container in (fetching, serving):
        (mount,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "huggingface"]
        assert f"HF_HOME={mount}" in DOCKERFILE


@pytest.mark.parametrize("overlay", list(MODELS))
def test_memory_disks_and_time_hold_the_model(manifests, overlay):
    """docs/operations.md: base + weights + KV cache, float32 on a CPU. The volume holds what is published."""
    found, parameters = manifests(overlay), MODELS[overlay]
    spec, storage = (
        found["Deployment"]["spec"],
        found["PersistentVolumeClaim"]["spec"]["resources"]["requests"]["storage"],
    )
    limits = container_of(spec)["resources"]["limits"]
    on_gpu = "nvidia.com/gpu" in limits
    assert quantity(storage) > 1.3 * 2 * parameters
    if on_gpu:
        assert quantity(limits["memory"]) > 1.1 * 2 * parameters
    else:
        assert quantity(limits["memory"]) > 1.5 * GIB + 4 * parameters + GIB
    startup = container_of(spec)["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > 2 * parameters / 100e6
    assert spec["progressDeadlineSeconds"] > 2 * parameters / 30e6
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}, "the volume is one node's"


def quantity(text):
    return float(text.removesuffix("Gi")) * GIB


@pytest.mark.parametrize("name", JOBS)
def test_jobs_run_commands_with_flags_that_exist(name):
    job = yaml.safe_load((ROOT / f"deploy/jobs/{name}.yaml").read_text())
    container = container_of(job["spec"])
    assert container["image"] == f"stepscore:{VERSION}-jobs"
    program, command, *arguments = container["command"]
    assert (program, command, container["name"]) == ("stepscore", name, name)
    known = invoke(command, "--help", env={"COLUMNS": "300"}).output
    flags = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    assert flags
    assert [flag for flag in flags if f"{flag} " not in known and f"{flag}," not in known] == []
    claims = {volume["persistentVolumeClaim"]["claimName"] for volume in job["spec"]["template"]["spec"]["volumes"][:1]}
    assert claims == {yaml.safe_load((ROOT / "deploy/jobs/data.yaml").read_text())["metadata"]["name"]}


def test_the_job_on_ray_runs_a_command_with_flags_that_exist_and_as_many_workers_as_pods():
    spec = yaml.safe_load((ROOT / "deploy/ray/label.yaml").read_text())["spec"]
    program, command, *arguments = spec["entrypoint"].split()
    flags = dict(argument.partition("=")[::2] for argument in arguments if argument.startswith("--"))
    known = invoke(command, "--help", env={"COLUMNS": "300"}).output
    assert (program, command) == ("stepscore", "label")
    assert [flag for flag in flags if f"{flag} " not in known] == []
    (workers,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert workers["replicas"] == int(flags["--workers"])
    heads = [spec["rayClusterSpec"]["headGroupSpec"], workers]
    images = {each["template"]["spec"]["containers"][0]["image"] for each in heads}
    assert images == {f"stepscore:{VERSION}-jobs"}


def test_the_service_on_ray_has_settings_that_hold_and_pods_for_its_replicas():
    on_ray = pytest.importorskip("stepscore_service.http.on_ray", reason="needs the extra ray")
    from ray.serve.schema import ServeDeploySchema

    (document,) = yaml.safe_load_all((ROOT / "deploy/ray/serve.yaml").read_text())
    spec = document["spec"]
    config = ServeDeploySchema.model_validate(yaml.safe_load(spec["serveConfigV2"]))
    (served,) = config.applications
    module, _, name = served.import_path.partition(":")
    assert (module, getattr(on_ray, name)) == (on_ray.__name__, on_ray.build_application)
    settings = Settings(**served.args, ray=True)
    assert settings.needs_key
    assert not settings.insecure
    assert "deployments" not in served.model_fields_set
    (workers,) = spec["rayClusterConfig"]["workerGroupSpecs"]
    pods = [spec["rayClusterConfig"]["headGroupSpec"], workers]
    containers = [each["template"]["spec"]["containers"][0] for each in pods]
    for each in containers:
        mounts = [Path(mount["mountPath"]) for mount in each["volumeMounts"]]
        assert settings.api_keys.parent in mounts
        assert each["image"] == f"stepscore:{VERSION}-jobs"
    assert (workers["minReplicas"], workers["maxReplicas"]) == (settings.ray_replicas, settings.ray_max_replicas)
    assert int(containers[1]["resources"]["limits"]["cpu"]) >= settings.ray_replica_cpus
    assert workers["template"]["spec"]["terminationGracePeriodSeconds"] > settings.drain_seconds
    assert spec["rayClusterConfig"]["rayVersion"] in Requirement(RAY).specifier
    assert {port["name"]: port["containerPort"] for port in containers[0]["ports"]}["serve"] == config.http_options.port


def test_one_autoscaler_at_most_owns_the_replicas(manifests):
    kinds = {overlay: set(manifests(overlay)) for overlay in OVERLAYS}
    scalers = {overlay: found & {"HorizontalPodAutoscaler", "ScaledObject"} for overlay, found in kinds.items()}
    assert {overlay: found for overlay, found in scalers.items() if found} == {
        "overlays/cpu": {"HorizontalPodAutoscaler"},
        "overlays/queue": {"ScaledObject"},
    }
    assert "replicas" not in manifests("base")["Deployment"]["spec"]


def test_autoscalers_name_the_deployment(manifests):
    built = [("overlays/cpu",), ("overlays/queue",), ("overlays/7b", "hpa-queue"), ("overlays/7b", "keda")]
    for found in (manifests(*each) for each in built):
        (scaler,) = found.keys() & {"HorizontalPodAutoscaler", "ScaledObject"}
        assert found[scaler]["spec"]["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]


def test_missing_numbers_remove_no_pod(manifests):
    """Prometheus is gone, or no pod can be scraped: KEDA takes neither for an empty queue."""
    spec = manifests("overlays/queue")["ScaledObject"]["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert trigger["metricType"] == "AverageValue", "KEDA has a fallback for averages only"
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert spec["minReplicaCount"] >= 1, "without a pod there is no queue to read"
