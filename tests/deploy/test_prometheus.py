"""Scrape config and alert rules: promtool, and every metric they name is one that the service exports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from held_scorer import HeldScorer
from stepscore_service.serving.drift import LEAST_SCORES, TenantDrift
from stepscore_service.serving.metrics import GpuCollector, Metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARD = DEPLOY / "components/monitoring/stepscore.json"
GPU = ("stepscore_gpu_memory_used_bytes", "stepscore_gpu_memory_total_bytes")
NAMES = re.compile(r"\bstepscore_[a-z_]+\b(?!:)")


class Idle:
    """A batcher with nothing to do."""

    waiting_requests = waiting_tokens = 0
    engines = 1, 1


@pytest.fixture(scope="module")
def exported():
    """{sample name: its label names} of an application that serves one model and has answered one request."""
    metrics = Metrics()
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase) and metric._labelnames:
            metric.labels(*metric._labelnames)
    drift = TenantDrift(LEAST_SCORES)
    for score in range(LEAST_SCORES):
        drift.of("").add("step-1", score / LEAST_SCORES)
    metrics.watch(HeldScorer(), Idle(), drift)
    families = text_string_to_metric_families(metrics.text().decode())
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def alert_expressions():
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        yield rule.get("alert") or rule["record"], rule["expr"]


def dashboard_expressions():
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for each in dashboard["annotations"]["list"]:
        yield each["name"], each["expr"]
    for each in dashboard["templating"]["list"]:
        if each["type"] == "query":
            yield each["name"], each["query"]["query"]


def other_expressions():
    keda = yaml.safe_load((DEPLOY / "components/keda/scaledobject.yaml").read_text())
    yield "ScaledObject", keda["spec"]["triggers"][0]["metadata"]["query"]
    scaler = yaml.safe_load((DEPLOY / "components/hpa-queue/hpa.yaml").read_text())
    yield "HorizontalPodAutoscaler", scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    picker = yaml.safe_load((DEPLOY / "components/inference-pool/picker.yaml").read_text())
    (extractor,) = [each for each in picker["plugins"] if each["type"] == "core-metrics-extractor"]
    (engine,) = extractor["parameters"]["engineConfigs"]
    yield from ((name, metric) for name, metric in engine.items() if name.endswith("Spec"))


EXPRESSIONS = [*alert_expressions(), *dashboard_expressions(), *other_expressions()]
each_expression = pytest.mark.parametrize(
    "expression", [text for _, text in EXPRESSIONS], ids=[name for name, _ in EXPRESSIONS]
)


def test_promtool_accepts_the_scrape_config_and_its_rules(tool):
    result = tool("promtool", "check", "config", "prometheus.yml", folder=PROMETHEUS)
    assert result.returncode == 0, result.stdout + result.stderr


def test_alerts_ring_when_they_should(tool):
    result = tool("promtool", "test", "rules", "rules_test.yml", folder=PROMETHEUS)
    assert result.returncode == 0, result.stdout + result.stderr


def alerts_of_rules():
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    return {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}


def test_every_alert_has_a_test():
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    rung = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert rung == alerts_of_rules()


@pytest.mark.parametrize("page", ["operations.md", "deploy.md"])
def test_every_alert_is_explained(page):
    rows = re.findall(r"^\| (Stepscore\w+) \|", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(alerts_of_rules())


@each_expression
def test_metrics_that_rules_read_are_exported(exported, expression):
    named = set(NAMES.findall(expression))
    assert named or "up ==" in expression or "stepscore:" in expression
    assert named - set(GPU) <= set(exported)


def test_memory_of_gpus_is_exported_where_there_are_some():
    registry = CollectorRegistry()
    registry.register(GpuCollector(lambda: {0: (3, 4), 2: (1, 4)}))
    assert {name: registry.get_sample_value(name, {"device": "cuda:2"}) for name in GPU} == dict(
        zip(GPU, (1, 4), strict=True)
    )


def test_the_dashboard_is_where_compose_mounts_it_and_grafana_looks_for_it(compose):
    service = compose["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in service["volumes"])
    target = mounts[f"./{DASHBOARD.relative_to(ROOT)}"]
    assert service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == target
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/stepscore.yml").read_text())["providers"]
    assert Path(target).parent == Path(provider["options"]["path"])
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose["services"]


def test_panels_have_places_of_their_own():
    taken = [
        (x, y)
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def test_promtool_accepts_what_the_dashboard_asks(tool, tmp_path):
    asked = [text for _, text in dashboard_expressions() if "label_values" not in text]
    expressions = [text.replace("$__rate_interval", "5m").replace("$model", "m") for text in asked]
    rules = [{"record": f"asked:{index}", "expr": text} for index, text in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    result = tool("promtool", "check", "rules", tmp_path / "rules.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(rules)} rules found" in result.stdout


def test_the_operator_gets_the_same_rules():
    """`python deploy/prometheus/operator_rule.py` writes them."""
    written = yaml.safe_load((DEPLOY / "components/monitoring/prometheusrule.yaml").read_text())
    assert written["spec"] == yaml.safe_load((PROMETHEUS / "rules.yml").read_text())


def test_no_rule_depends_on_the_name_of_a_job():
    scaled = yaml.safe_load((DEPLOY / "components/keda/scaledobject.yaml").read_text())["spec"]["triggers"]
    queries = [(each["type"], each["metadata"]["query"]) for each in scaled]
    assert queries
    assert not [name for name, text in (*EXPRESSIONS, *queries) if re.search(r"\bjob\s*[=!]", text)]


@each_expression
def test_labels_that_rules_choose_by_are_exported(exported, expression):
    for name, chosen in re.findall(r"\b(stepscore_[a-z_]+)\{([^}]*)\}", expression):
        labels = set(re.findall(r"(\w+)\s*[=!]~?\s*\"", chosen)) - {"job", "instance"}
        assert labels <= exported[name], name


def test_bucket_that_parts_sound_from_unsound_exists():
    metrics = Metrics()
    metrics.step_reward.labels("m").observe(0.3)
    rules = (PROMETHEUS / "rules.yml").read_text()
    (edge,) = re.findall(r'stepscore_step_reward_bucket\{le="([^"]+)"\}', rules)
    assert f'stepscore_step_reward_bucket{{le="{edge}",model="m"}} 1.0' in metrics.text().decode()
