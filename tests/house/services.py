"""Services as on a cluster: each a process of its own beside a broker of ours, to be stopped and started one by one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from services.cli import apply
from services.cli.child import Child
from services.cli.customers_file import read_customers
from services.quarantine.master import MasterConfig
from services.runtime.broker import Broker
from services.runtime.config import load
from services.runtime.kafka import KafkaBus
from services.runtime.ports import free_ports
from services.runtime.provision import make_topics
from services.runtime.secret_key import make_key

CONFIG = """
customers:
  - id: example
    domains:
      - {{name: example.test, relay: ["127.0.0.1:{port}"], recipients: any}}
"""


class Services:
    """`gatepost run` for each name; `ingress-1` and `ingress-2` are two of the service `ingress`."""

    def __init__(self, folder: Path, relay: int, *names: str, environ: Mapping[str, str] | None = None) -> None:
        self.broker = Broker(folder / "broker")
        self.names = names
        self.doors = {name: port for name, port in zip(names, free_ports(len(names)), strict=True) if "ingress" in name}
        self.metrics = dict(zip(names, free_ports(len(names)), strict=True))
        self._folder = folder
        self._relay = relay
        self._more = environ or {}
        self._environ: dict[str, str] = {}
        self._children: dict[str, Child] = {}

    @property
    def database(self) -> str:
        """The URL of the database that they share."""
        return f"sqlite+aiosqlite:///{self._folder / 'gatepost.db'}"

    @property
    def kafka(self) -> str:
        """Where the broker is, once all are up."""
        return self._environ["GATEPOST_KAFKA"]

    async def up(self) -> None:
        """Start the broker and all of them, and return when they serve."""
        folder = self._folder
        address = await self.broker.start()
        self._environ = {
            **os.environ,
            "GATEPOST_KAFKA": address,
            "GATEPOST_STORE": str(folder / "objects"),
            "GATEPOST_DATABASE": self.database,
            "GATEPOST_HOSTNAME": "gatepost.internal",
            "GATEPOST_INGRESS_HOSTNAME": "gatepost.internal",
            "GATEPOST_INGRESS_HOST": "127.0.0.1",
            "GATEPOST_INGRESS_CERT_FOLDER": str(folder / "tls"),
            "GATEPOST_QUARANTINE_KEY_FILE": str(folder / "quarantine.key"),
            **self._more,
        }
        make_key(folder / "quarantine.key")
        self._environ["GATEPOST_RELEASE_PUBLIC_KEY"] = load(MasterConfig, self._environ).secrets().public
        config = folder / "gatepost.yaml"
        config.write_text(CONFIG.format(port=self._relay))
        await make_topics(address)
        bus = KafkaBus(address, "test")
        await apply.scanners(bus, self._environ)
        await apply.customers(bus, read_customers(config))
        await bus.close()
        async with asyncio.TaskGroup() as tasks:
            for name in self.names:
                tasks.create_task(self.start(name))

    async def start(self, name: str) -> None:
        """Start one, and return when it serves."""
        environ = {**self._environ, "GATEPOST_METRICS_PORT": str(self.metrics[name])}
        if name in self.doors:
            environ["GATEPOST_INGRESS_PORT"] = str(self.doors[name])
        child = self._children[name] = Child(name, (name.partition("-")[0],), environ)
        await child.start()

    async def terminate(self, name: str, within: float = 25.0) -> tuple[int, float]:
        """SIGTERM; return the exit code and the seconds that it took."""
        child, began = self._children[name], time.monotonic()
        process = child._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(within):
            code = await process.wait()
        return code, time.monotonic() - began

    def freeze(self) -> None:
        """Stop the broker in its tracks: it takes connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.broker.pid is not None
        os.kill(self.broker.pid, number)

    async def said(self, name: str, path: str = "/readyz") -> tuple[int, dict[str, object]]:
        """Return the status of a health page and its answer; 0 while nobody answers."""
        return await asyncio.to_thread(_fetch, f"http://127.0.0.1:{self.metrics[name]}{path}")

    async def down(self) -> None:
        """End all that still runs."""
        await asyncio.gather(*(child.stop() for child in self._children.values()))
        if self.broker.pid is not None:
            self.thaw()
        await self.broker.stop()


def _fetch(url: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
    except (urllib.error.URLError, OSError):
        return 0, {}
