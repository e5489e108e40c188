"""The whole pipeline as on a cluster: every part a process or container of its own, a wire between each two."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import docker
from docker import DockerClient
from docker.errors import DockerException

from schemas.catalog import OUTCOMES, TOPICS
from schemas.events import Command, Outcome, QuarantineCommand
from services.cli import apply
from services.cli.customers_file import read_customers
from services.core.clock import SystemClock
from services.core.errors import BusUnavailable, DatabaseUnavailable, StartError
from services.core.ids import message_id
from services.quarantine.index import Index
from services.quarantine.master import MasterConfig
from services.runtime.broker_archive import ensure_archive
from services.runtime.broker_jars import ensure_jars
from services.runtime.config import load
from services.runtime.kafka import KafkaBus
from services.runtime.ports import free_ports
from services.runtime.secret_key import make_key
from services.runtime.window import KafkaWindow, Span
from tests.chaos.parts import Container, Disk, Node, Part, Service
from tests.chaos.wire import Wire
from tests.house.sink import Sink

IMAGES = {
    "store": os.environ.get("GATEPOST_TEST_MINIO_IMAGE", "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z"),
    "database": os.environ.get("GATEPOST_TEST_POSTGRES_IMAGE", "postgres:15"),
    "clamd": os.environ.get("GATEPOST_TEST_CLAMAV_IMAGE", "clamav/clamav:1.4"),
    "rspamd": os.environ.get("GATEPOST_TEST_RSPAMD_IMAGE", "rspamd/rspamd:3.4"),
}
USER, PASSWORD = "gatepost", "chaos-in-a-test"
SERVICES = {
    "ingress-1": "ingress",
    "ingress-2": "ingress",
    "scanners": "scanners",
    "policy-1": "policy",
    "policy-2": "policy",
    "delivery-1": "delivery",
    "delivery-2": "delivery",
    "quarantine": "quarantine",
    "reaper": "reaper",
    "signals": "signals",
    "trace": "trace",
}
CONFIG = """
customers:
  - id: example
    domains:
      - {{name: example.test, relay: ["127.0.0.1:{port}"], recipients: any}}
    policy:
      rules:
        - {{name: virus, when: {{status: virus}}, then: quarantine}}
        - {{name: spam, when: {{status: spam}}, then: quarantine}}
        - {{name: looked-at-by-a-person, when: {{recipients: held@example.test}}, then: quarantine}}
"""


def engine() -> DockerClient | None:
    """Return the Docker engine; None where none answers, which with CI=true is a failure."""
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        if os.environ.get("CI") == "true":
            raise StartError(f"no Docker engine answers: {str(error).splitlines()[0]}") from None
        return None
    return client


class House:
    """Everything that runs, by name; `sink` is the customer's MTA, `doors` the ports to send to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts: dict[str, Part] = {}
        self.services: dict[str, Service] = {}
        self.wires: dict[str, Wire] = {}
        self.disks: dict[str, Disk] = {}
        self.sink = Sink(free_ports(1)[0])
        self.doors: list[int] = []
        self.kafka = ""
        self._environ: dict[str, str] = {}
        self._stack = contextlib.AsyncExitStack()
        self._bus: KafkaBus | None = None

    async def __aenter__(self) -> House:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        docker_engine = await asyncio.to_thread(engine)
        await self._stack.enter_async_context(self.sink)
        await self._brokers()
        self._environ = {
            **os.environ,
            "GATEPOST_KAFKA": self.kafka,
            "GATEPOST_HOSTNAME": "chaos.gatepost.test",
            "GATEPOST_INGRESS_HOSTNAME": "chaos.gatepost.test",
            "GATEPOST_LOG_LEVEL": "INFO",
            "GATEPOST_SCANNER_WORKERS": "1",
            "GATEPOST_DNS": "127.0.0.1:9",  # nobody answers: this is not about DNS, and asks nobody outside
            "GATEPOST_RETRY_FIRST": "1",
            "GATEPOST_QUARANTINE_KEY_FILE": str(self.folder / "quarantine.key"),
        }
        make_key(self.folder / "quarantine.key")
        self._environ["GATEPOST_RELEASE_PUBLIC_KEY"] = load(MasterConfig, self._environ).secrets().public
        if docker_engine is None:
            await self._embedded()
        else:
            await self._neighbours(docker_engine)
        await self._provision()
        await self._run_services()

    async def _wire(self, name: str, target: int) -> int:
        (port,) = free_ports(1)
        wire = Wire(name, port, target)
        await wire.open()
        self._stack.push_async_callback(wire.close)
        self.wires[name] = wire
        return port

    async def _brokers(self) -> None:
        ports = free_ports(9)
        inner, control = ports[:6], ports[6:]
        outer = [await self._wire(f"to-kafka-{n}", inner[n - 1]) for n in (1, 2, 3)]
        nodes = [Node(n, self.folder / f"kafka-{n}", outer, inner, control) for n in (1, 2, 3)]
        for node in nodes:
            self._stack.push_async_callback(node.end)
            self.parts[node.name] = node
        await ensure_archive(await ensure_jars())  # once, or the three of them would each make one
        await asyncio.gather(*(node.start() for node in nodes))
        self.kafka = ",".join(f"127.0.0.1:{port}" for port in outer)

    async def _embedded(self) -> None:
        """Without Docker: the folder on a disk of its own, SQLite, the built-in engines."""
        disk = await self._disk("store-disk", 256)
        self._environ |= {
            "GATEPOST_STORE": str(disk.folder / "objects"),
            "GATEPOST_DATABASE": f"sqlite:///{self.folder / 'gatepost.db'}",
        }

    async def _disk(self, name: str, megabytes: int) -> Disk:
        disk = Disk(name, self.folder / name, megabytes)
        await disk.mount()
        self._stack.push_async_callback(disk.end)
        self.disks[name] = disk
        return disk

    async def _neighbours(self, engine: DockerClient) -> None:
        disk, spool = await self._disk("store-disk", 256), await self._disk("spool-disk", 64)
        store = await self._container(
            engine,
            "store",
            9000,
            command=["server", "/data"],
            environment={"MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD, "MINIO_FS_OSYNC": "on"},
            volumes={str(disk.folder): {"bind": "/data", "mode": "rw"}},
        )
        database = await self._container(
            engine, "database", 5432, environment={"POSTGRES_USER": USER, "POSTGRES_PASSWORD": PASSWORD}
        )
        clamd = await self._container(engine, "clamd", 3310)
        rspamd = await self._container(engine, "rspamd", 11333)
        self._environ |= {
            "GATEPOST_STORE": "s3://chaos",
            "GATEPOST_S3_ENDPOINT": f"http://127.0.0.1:{store}",
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "GATEPOST_S3_SPOOL": str(spool.folder),
            "GATEPOST_DATABASE": f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{database}/{USER}",
            "GATEPOST_CLAMD": f"127.0.0.1:{clamd}",
            "GATEPOST_RSPAMD": f"http://127.0.0.1:{rspamd}",
        }

    async def _container(self, engine: DockerClient, name: str, inside: int, **settings: object) -> int:
        (port,) = free_ports(1)
        part = Container(name, engine, IMAGES[name], ports={f"{inside}/tcp": ("127.0.0.1", port)}, **settings)
        self._stack.push_async_callback(part.end)
        await part.start()
        self.parts[name] = part
        return await self._wire(f"to-{name}", port)

    async def _provision(self) -> None:
        config = self.folder / "gatepost.yaml"
        config.write_text(CONFIG.format(port=await self._wire("to-mta", self.sink.port)), encoding="utf-8")
        deadline = asyncio.get_running_loop().time() + 90
        while True:
            try:
                await apply.provision(self.kafka, self._environ)
                break
            except (BusUnavailable, StartError) as error:  # the neighbours are still starting
                if asyncio.get_running_loop().time() > deadline:
                    raise StartError(f"the parts did not come up: {error}") from error
                await asyncio.sleep(1.0)
        self._bus = KafkaBus(self.kafka, "chaos")
        self._stack.push_async_callback(self._bus.close)
        await apply.customers(self._bus, read_customers(config))

    async def _run_services(self) -> None:
        starting = []
        for name, unit in SERVICES.items():
            environ: Mapping[str, str] = self._environ
            if unit == "ingress":
                (port,) = free_ports(1)
                environ = {**environ, "GATEPOST_INGRESS_PORT": str(port)}
                self.doors.append(await self._wire(f"to-{name}", port))
            service = Service(name, unit, environ)
            self._stack.push_async_callback(service.end)
            self.parts[name] = self.services[name] = service
            starting.append(service.start())
        # The index is made by whoever comes first; together they would not start faster on few cores.
        for start in starting:
            await start

    # --- what is seen and done from outside

    async def outcomes(self) -> list[Outcome]:
        """Return every outcome there is; raise BusUnavailable."""
        assert self._bus is not None
        return [r.event async for r in self._bus.read(OUTCOMES) if isinstance(r.event, Outcome)]

    async def trace(self, messages: set[str]) -> list[str]:
        """Return a line for each record about these messages, for whoever looks into a failure."""
        spans = [Span(topic) for topic in TOPICS if topic.joined]
        lines = []
        async for raw in KafkaWindow(self.kafka, "chaos", spans).records():
            if raw.key.decode().partition("/")[0] in messages:
                value = "-" if raw.value is None else raw.value.decode()
                lines.append(f"{raw.key.decode()} {raw.timestamp:.3f} {raw.topic} {raw.partition}/{raw.offset} {value}")
        return sorted(lines)

    async def end_holds(self) -> int:
        """Release what is held for held@example.test, delete what else is held; return how many rows that were.

        Raises BusUnavailable and DatabaseUnavailable.
        """
        assert self._bus is not None
        index = await Index.open(self._environ["GATEPOST_DATABASE"])
        try:
            rows = await index.list(limit=10_000)
        finally:
            await index.close()
        now = SystemClock().now()
        await self._bus.publish(
            QuarantineCommand(
                command_id=message_id(now, os.urandom),
                id=row.id,
                customer=row.customer,
                action=Command.RELEASE if row.recipient.startswith("held@") else Command.DELETE,
                recipients=(row.recipient,),
                by="chaos",
                at=now,
            )
            for row in rows
        )
        return len(rows)

    async def try_end_holds(self) -> int:
        """As `end_holds`; what can't be asked now is asked at the next call."""
        try:
            return await self.end_holds()
        except (BusUnavailable, DatabaseUnavailable, StartError):
            return 0
