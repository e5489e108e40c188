"""Publish what the operator wrote: the plan of scanners and the customers, on the compacted topics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from schemas.catalog import CUSTOMERS, RECIPIENTS, SCANNERS
from schemas.events import Customer, Event, Recipient, Scanner
from services.cli.customers_file import CustomerSpec, example, plan
from services.runtime.bus import Bus, Tombstone
from services.runtime.customers_plan import CONSOLE
from services.runtime.kafka import KafkaBus
from services.runtime.latest import latest
from services.runtime.provision import make_topics
from services.runtime.s3_location import s3_location
from services.runtime.s3_provision import provision as make_bucket
from services.scanners.registry import choose

BATCH = 1_000  # events published together


async def provision(kafka: str, environ: Mapping[str, str]) -> None:
    """Make the topics, the bucket, and the plan of scanners: all that must be there before a service starts."""
    await make_topics(kafka)
    store = environ.get("GATEPOST_STORE", "")
    if store.startswith("s3://"):
        await make_bucket(s3_location(store, environ))
    bus = KafkaBus(kafka, "gatepost-provision")
    try:
        await scanners(bus, environ)
    finally:
        await bus.close()


async def scanners(bus: Bus, environ: Mapping[str, str]) -> None:
    """Publish the plan: the scanners of GATEPOST_SCANNERS, or all that there are. Ones that went are taken out."""
    names = tuple(name for name in environ.get("GATEPOST_SCANNERS", "").split(",") if name)
    wanted = {name: Scanner(name=name, version=found.SPEC.version) for name, found in choose(names).items()}
    there = await latest(bus, SCANNERS, Scanner)
    changes: list[Event | Tombstone] = [entry for name, entry in wanted.items() if there.get(name) != entry]
    changes += [Tombstone(SCANNERS, name) for name in there if name not in wanted]
    if changes:
        await bus.publish(changes)


async def customers_of(kafka: str, specs: Sequence[CustomerSpec]) -> str:
    """Apply the customers to the cluster and return what a person should read."""
    bus = KafkaBus(kafka, "gatepost-customers")
    try:
        count = await customers(bus, specs)
    finally:
        await bus.close()
    return f"{len(specs)} customers, {sum(len(spec.domains) for spec in specs)} domains; {count} changes published"


async def customers(bus: Bus, specs: Sequence[CustomerSpec]) -> int:
    """Publish what leads from what the topics hold to what is written, and return how many changes that took."""
    changes = plan(specs, await latest(bus, CUSTOMERS, Customer), await latest(bus, RECIPIENTS, Recipient), os.urandom)
    for start in range(0, len(changes), BATCH):
        await bus.publish(changes[start : start + BATCH])
    return len(changes)


async def example_if_alone(bus: Bus, mailbox_port: int) -> bool:
    """Serve example.test where nobody has applied customers; return whether the example is what is served."""
    there = await latest(bus, CUSTOMERS, Customer)
    spec = example(mailbox_port)
    others = [customer for key, customer in there.items() if key != spec.customer.id]
    if any(customer.origin != CONSOLE for customer in others) or (others and spec.customer.id not in there):
        return False
    await customers(bus, [spec])
    return True


async def any_directory(bus: Bus) -> bool:
    """Return whether a customer has a directory to read recipients from."""
    return any(customer.directory for customer in (await latest(bus, CUSTOMERS, Customer)).values())


async def any_outbound(bus: Bus) -> bool:
    """Return whether a customer sends its mail through us."""
    return any(customer.outbound.enabled for customer in (await latest(bus, CUSTOMERS, Customer)).values())
