"""Scrape config and alert rules: promtool, and every metric they name is one that the service exports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from held_scorer import HeldScorer
from stepscore_service.serving.drift import LEAST_SCORES, TenantDrift
from stepscore_service.serving.metrics import Metrics

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
NAMES = re.compile(r"\bstepscore_[a-z_]+\b(?!:)")


class Idle:
    """A batcher with nothing to do."""

    waiting_requests = waiting_tokens = 0


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


def expressions():
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        yield pytest.param(rule["expr"], id=rule.get("alert") or rule["record"])
    keda = yaml.safe_load((ROOT / "deploy/overlays/queue/scaledobject.yaml").read_text())
    yield pytest.param(keda["spec"]["triggers"][0]["metadata"]["query"], id="ScaledObject")


def test_promtool_accepts_the_scrape_config_and_its_rules(tool):
    result = tool("promtool", "check", "config", "prometheus.yml", folder=PROMETHEUS)
    assert result.returncode == 0, result.stdout + result.stderr


def test_alerts_ring_when_they_should(tool):
    result = tool("promtool", "test", "rules", "rules_test.yml", folder=PROMETHEUS)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_has_a_test():
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    rung = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert rung == alerts


@pytest.mark.parametrize("expression", list(expressions()))
def test_metrics_that_rules_read_are_exported(exported, expression):
    assert set(NAMES.findall(expression)) <= set(exported)


@pytest.mark.parametrize("expression", list(expressions()))
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
