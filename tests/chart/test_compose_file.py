"""compose.yaml beside the chart: the same services, each told the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from services.cli.units import UNITS
from services.quarantine.master import MasterConfig
from tests.chart.conftest import CHART, render

FILE = Path(__file__).parents[2] / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# What differs by nature: one process runs all scanners here; the engines have addresses of their own.
ONE_HOST = {"GATEPOST_SCANNERS", "GATEPOST_SCANNER_WORKERS", "GATEPOST_CLAMD", "GATEPOST_RSPAMD", "GATEPOST_DKIM_KEY"}


# Nobody looks on, and no user signs in, until the operator says so.
RUNS = tuple(unit for unit in UNITS if unit not in {"shadow", "users"})
SET = {"submission": ("--set", "submission.enabled=true")}  # what the chart has only when it is asked for


def test_every_service_runs() -> None:
    told = {
        name: service["command"][1] for name, service in SERVICES.items() if service.get("command", [])[:1] == ["run"]
    }
    assert told == {name: name for name in RUNS}


@pytest.mark.parametrize("unit", RUNS)
def test_it_tells_each_service_what_the_chart_tells_it(helm: str, unit: str) -> None:
    there = render(helm, "-f", str(CHART / "ci" / "evaluation.yaml"), *SET.get(unit, ())).of("Deployment")
    name = "gatepost-scanner-virus" if unit == "scanners" else f"gatepost-{unit}"
    (container,) = there[name]["spec"]["template"]["spec"]["containers"]
    assert {entry["name"] for entry in container["env"]} ^ SERVICES[unit]["environment"].keys() <= ONE_HOST


@pytest.mark.parametrize("unit", RUNS)
def test_each_may_do_as_little_as_in_the_cluster(unit: str) -> None:
    service = SERVICES[unit]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["depends_on"] == {"provision": {"condition": "service_completed_successfully"}}


def test_nobodys_mail_goes_out_until_the_operator_says_so() -> None:
    assert SERVICES["submission"]["profiles"] == ["submission"]


def test_what_is_named_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", ())) <= SERVICES.keys(), name
        volumes = {
            volume.partition(":")[0] for volume in service.get("volumes", ()) if not volume.startswith(("$", "."))
        }
        assert volumes <= COMPOSE["volumes"].keys(), name


def test_ports_are_opened_on_loopback_until_the_operator_says_otherwise() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(re.fullmatch(r"\$\{\w+:-127\.0\.0\.1:\d+\}:\d+", port) for port in ports)


def test_no_secret_has_a_default() -> None:
    text = FILE.read_text()
    assert re.findall(r"\$\{(GATEPOST_SECRET|GATEPOST_QUARANTINE_KEY):-", text) == []
    assert "GATEPOST_QUARANTINE_KEY" in {
        f"GATEPOST_{field.name.upper()}" for field in msgspec.structs.fields(MasterConfig)
    }
    keepers = {
        name for name, service in SERVICES.items() if "GATEPOST_QUARANTINE_KEY" in service.get("environment", {})
    }
    assert keepers == {"quarantine", "api"}
