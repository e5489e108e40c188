"""Metrics as Prometheus fetches them."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from services.core.errors import StartError
from services.runtime import metrics
from services.runtime.health import Health
from services.runtime.ports import free_ports
from tests.house.gatepost import House
from tests.house.sender import plain, send
from tests.house.sink import Sink


def fetch(port: int, path: str = "/metrics") -> str:
    """Return what a path says, with its status where that isn't 200; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read().decode()}"
    except urllib.error.URLError:
        return ""


async def test_they_are_answered_while_the_process_runs_and_a_taken_port_is_one_line() -> None:
    (port,) = free_ports(1)
    health = Health(time.monotonic)
    with metrics.served("127.0.0.1", port, health):
        metrics.REFUSALS.labels("a-test").inc()
        assert 'gatepost_refusals_total{reason="a-test"} 1.0' in await asyncio.to_thread(fetch, port)
        with pytest.raises(StartError, match=str(port)), metrics.served("127.0.0.1", port, health):
            pass
        assert '"alive":true' in await asyncio.to_thread(fetch, port, "/healthz")
        assert '"ready":true' in await asyncio.to_thread(fetch, port, "/readyz")
        health.waits("broker", "waiting for the broker")
        assert (await asyncio.to_thread(fetch, port, "/readyz")).startswith('503 {"ready":false,"reasons":{"broker":')
        assert (await asyncio.to_thread(fetch, port, "/else")).startswith("404")
    assert await asyncio.to_thread(fetch, port) == ""


async def test_a_refused_recipient_is_counted_by_its_reason(tmp_path: Path, sink: Sink) -> None:
    config = tmp_path / "gatepost.yaml"
    config.write_text(
        "customers:\n  - id: a\n    domains:\n"
        f"      - {{name: a.test, relay: ['127.0.0.1:{sink.port}'], recipients: [bob]}}\n"
    )
    port, first = free_ports(2)
    environ = {"GATEPOST_METRICS_PORT": str(first)}
    async with House(tmp_path / "data", port, "--config", str(config), environ=environ) as house:
        assert (await send(house.port, plain("x"), ["nobody@a.test"])).code == 550
        said = [await asyncio.to_thread(fetch, first + number) for number in range(4)]
        health = [await asyncio.to_thread(fetch, first + number, "/healthz") for number in range(4)]
        ready = [await asyncio.to_thread(fetch, first + number, "/readyz") for number in range(4)]
    assert all('"alive":true' in text for text in health), health
    assert all('"ready":true' in text for text in ready), ready
    assert any('"policy":' in text for text in health)
    assert sum('gatepost_refusals_total{reason="unknown-recipient"} 1.0' in text for text in said) == 1
