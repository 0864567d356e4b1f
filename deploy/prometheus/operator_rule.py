"""Write the alert rules as the object that the Prometheus operator reads.

python deploy/prometheus/operator_rule.py
"""

from __future__ import annotations

from pathlib import Path

DEPLOY = Path(__file__).parents[1]
TARGET = DEPLOY / "components" / "monitoring" / "prometheusrule.yaml"
HEAD = """# Written by deploy/prometheus/operator_rule.py from deploy/prometheus/rules.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: stepscore
spec:
"""


def operator_rule() -> str:
    """The object, as YAML."""
    rules = (DEPLOY / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    return HEAD + "".join(f"  {line}" if line.strip() else line for line in rules.splitlines(keepends=True))


if __name__ == "__main__":
    TARGET.write_text(operator_rule(), encoding="utf-8")
