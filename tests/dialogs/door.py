"""An ingress on loopback with a store and a bus in memory: what the dialogs and the tests of the front door talk to."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from schemas import catalog
from schemas.events import Account, Customer, Domain, Host, Outbound, Received, Recipient, Rejection, Scanner
from services.core.clock import SystemClock
from services.core.directory import Directory, DirectoryView, recipient_digest
from services.core.signals import Signals
from services.ingress.config import IngressConfig
from services.ingress.server import Ingress
from services.ingress.submission.config import SubmissionConfig
from services.ingress.submission.server import SubmissionServer
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_dns import FakeDns
from services.runtime.fakes_store import MemoryStore

SALT = "0f" * 16
TO_DATA = "EHLO c.test\r\nMAIL FROM:<alice@sender.test>\r\nRCPT TO:<anna@acme.test>\r\nDATA\r\n"
CONFIG = IngressConfig(port=0, hostname="mx.gatepost.test")
OUT = SubmissionConfig(port=0, hostname="mx.gatepost.test", tarpit=0)
ACCOUNT = Account(  # the password is `correct horse`; a hash that is made for a test, and costs little
    name="mta@acme.test",
    password="$argon2id$v=19$m=64,t=1,p=1$Z2F0ZXBvc3QtdGVzdGluZw$grh+IZvN7HByxYKiX4n6Yw7xSLjpv7La6ai97rCL4rE",
)
SENDING = Outbound(enabled=True, addresses=("127.0.0.9/32", "127.0.0.10/32"), accounts=(ACCOUNT,))
SHARED = Outbound(enabled=True, addresses=("127.0.0.10/32",))  # a provider's machine sends for both customers


class Door(NamedTuple):
    """The parts, for faults and for what is to be found in them afterwards."""

    port: int
    store: MemoryStore
    bus: MemoryBus
    directory: Directory
    ingress: Ingress
    dns: FakeDns
    signals: Signals

    def received(self) -> list[Received]:
        """Return what was published as received."""
        return cast("list[Received]", self.bus.events(catalog.RECEIVED))

    def rejections(self) -> list[Rejection]:
        """Return what was published as refused."""
        return cast("list[Rejection]", self.bus.events(catalog.REJECTIONS))


def directory() -> Directory:
    """Return one with acme (acme.test: anna, bert, jürgen; any.test: all; 20 kB) and zeta (zeta.test: zoe; 1 MB)."""
    known = Directory()
    relay = (Host(host="mx.acme.test"),)
    domains = tuple(Domain(name=n, relay=relay, any_recipient=n == "any.test") for n in ("acme.test", "any.test"))
    known.apply(Customer(id="acme", salt=SALT, domains=domains, max_size=20_000, outbound=SENDING))
    zeta = (Domain(name="zeta.test", relay=relay),)
    known.apply(Customer(id="zeta", salt=SALT, domains=zeta, max_size=1_000_000, outbound=SHARED))
    for customer, address in (
        ("acme", "anna@acme.test"),
        ("acme", "bert@acme.test"),
        ("acme", "jürgen@acme.test"),
        ("zeta", "zoe@zeta.test"),
    ):
        known.apply(Recipient(customer=customer, digest=recipient_digest(SALT, address)))
    known.apply(Scanner(name="virus", version="1"))
    known.caught_up()
    return known


@contextlib.asynccontextmanager
async def opened(
    *,
    bus: MemoryBus | None = None,
    view: DirectoryView | None = None,
    dns: FakeDns | None = None,
    changes: Mapping[str, Any] | None = None,
    out: bool = False,
) -> AsyncIterator[Door]:
    """Serve with the settings changed, and close at the end; `out`: submission instead of the MX."""
    store, bus, known, dns, signals = MemoryStore(), bus or MemoryBus(), directory(), dns or FakeDns(), Signals()
    parts: dict[str, Any] = {
        "store": store,
        "bus": bus,
        "directory": view or known,
        "dns": dns,
        "signals": signals,
        "clock": SystemClock(),
        "entropy": os.urandom,
    }
    if out:
        home = Outbound(enabled=True, addresses=("127.0.0.8/32",))  # who the dialogues of the MX are with
        known.apply(Customer(id="home", salt=SALT, domains=(Domain(name="sender.test", relay=()),), outbound=home))
        ingress: Ingress = SubmissionServer(msgspec.structs.replace(OUT, **changes or {}), **parts)
    else:
        ingress = Ingress(msgspec.structs.replace(CONFIG, **changes or {}), **parts)
    port = await ingress.start()
    try:
        yield Door(port, store, bus, known, ingress, dns, signals)
    finally:
        await ingress.close()


class Client:
    """One plain connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def line(self) -> str:
        async with asyncio.timeout(10):
            return (await self.reader.readline()).decode().rstrip("\r\n")

    async def until(self, code: str) -> str:
        """Return the next line that begins with the code."""
        while True:
            line = await self.line()
            assert line, f"closed before {code}"
            if line.startswith(code):
                return line

    async def send(self, octets: bytes | str) -> None:
        self.writer.write(octets.encode() if isinstance(octets, str) else octets)
        await self.writer.drain()

    async def to_data(self) -> None:
        await self.until("220")
        await self.send(TO_DATA)
        await self.until("354")


@contextlib.asynccontextmanager
async def connected(door: Door) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
