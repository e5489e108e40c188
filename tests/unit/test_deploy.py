"""Dashboard and alert rules: every metric that they name is in the list, and every metric of the list is explained."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from services.runtime import metrics
from tests.parts import lacking

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/gatepost.rules.yaml"
DASHBOARD = ROOT / "deploy/grafana/gatepost.json"
_NAME = re.compile(r"\bgatepost_[a-z_]+")
_GROUPING = re.compile(r"\bby \(([^)]*)\)")
_SELECTED = re.compile(r"(\bgatepost_[a-z_]+)\{([^}]*)\}")


def listed() -> dict[str, MetricWrapperBase]:
    """Return every metric of the list by the names under which Prometheus has its series."""
    found: dict[str, MetricWrapperBase] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter):
            found[f"{metric._name}_total"] = metric
        elif isinstance(metric, Histogram):
            found |= {f"{metric._name}_{part}": metric for part in ("bucket", "count", "sum")}
        elif isinstance(metric, Gauge):
            found[metric._name] = metric
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [*shown, *(rule["expr"] for rule in rules())]


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_metrics_and_labels_that_there_are(expression: str) -> None:
    known = listed()
    names = _NAME.findall(expression)
    assert names
    assert not [name for name in names if name not in known]
    labels = {label for name in names for label in known[name]._labelnames} | {"le"}
    for grouping in _GROUPING.findall(expression):
        assert {label.strip() for label in grouping.split(",")} <= labels
    for name, selected in _SELECTED.findall(expression):
        assert {part.partition("=")[0].strip("!~ ") for part in selected.split(",")} <= set(known[name]._labelnames)


def test_every_rule_says_what_is_wrong_and_how_bad() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_every_metric_is_explained() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    documented = set(re.findall(r"^\| (gatepost_[a-z_]+)", page, re.MULTILINE))
    ours = {f"{m._name}_total" if isinstance(m, Counter) else m._name for m in listed().values()}
    assert documented == ours


def test_promtool_takes_the_rules() -> None:
    promtool = os.environ.get("GATEPOST_TEST_PROMTOOL") or shutil.which("promtool") or lacking("promtool is missing")
    done = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
