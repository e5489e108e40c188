"""What waits for the customers' MTAs, from what delivery tells of it; and orders to delivery, each an event."""

from __future__ import annotations

import getpass
import os
import time

from schemas.catalog import CUSTOMERS, DEFERRED, QUEUE_COMMANDS, QUEUES
from schemas.events import Customer, Deferred, Order, QueueCommand, QueueState
from services.cli.printing import plain, stamp, table
from services.cli.site import Site
from services.core.errors import ConfigError
from services.core.ids import is_message_id, message_id
from services.delivery.config import smarthosts
from services.delivery.decide import goes_anywhere, hosts_of, where_of
from services.delivery.orders import Orders
from services.delivery.states import Standing, merged
from services.runtime.bus import Bus
from services.runtime.kafka import KafkaBus
from services.runtime.latest import latest


async def _rows(bus: Bus, now: float) -> tuple[list[Standing], Orders]:
    states = await latest(bus, QUEUES, QueueState)
    orders = Orders()
    async for record in bus.read(QUEUE_COMMANDS):
        if isinstance(record.event, QueueCommand):
            orders.apply(record.event)
    return merged(states.values(), orders.holds(), now), orders


async def destinations(site: Site, customer: str | None) -> None:
    """Print the destinations with state, depth, oldest and last answer."""
    bus, now = KafkaBus(site.kafka, "gatepost-queue"), time.time()
    try:
        rows, _ = await _rows(bus, now)
    finally:
        await bus.close()
    rows = [row for row in rows if customer in {None, row.customer}]
    if not rows:
        print("Nothing waits.")
        return
    head = ("customer", "destination", "state", "waiting", "oldest", "last answer", "held by")
    print(
        table(
            head,
            [
                (
                    row.customer,
                    row.destination,
                    "held" if row.held else row.state,
                    str(row.depth),
                    age(now - row.oldest) if row.oldest else "-",
                    row.reply[:100] or "-",
                    row.held or "-",
                )
                for row in rows
            ],
        )
    )


def age(seconds: float) -> str:
    """Return a stretch of time as people say it: 40s, 12m, 5h, 3d."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"


async def _waiting(bus: Bus) -> list[tuple[Deferred, str]]:
    """Return what waits, the oldest first, with the destination of each."""
    customers = await latest(bus, CUSTOMERS, Customer)
    live = await latest(bus, DEFERRED, Deferred)
    found = []
    smarthost = smarthosts(os.environ.get("GATEPOST_SMARTHOST", ""))
    for entry in live.values():
        received = entry.disposition.received
        redirect = entry.disposition.branches[entry.branch].redirect_to
        anywhere = goes_anywhere(received)
        hosts = hosts_of(
            customers.get(received.customer), received.domain, redirect, anywhere=anywhere, smarthost=smarthost
        )
        found.append((entry, where_of(hosts)))
    return sorted(found, key=lambda pair: pair[0].since)


async def messages(site: Site, target: str, customer: str | None, limit: int) -> None:
    """Print the messages of a destination, or one message; raise ConfigError when nothing of that name waits."""
    bus, now = KafkaBus(site.kafka, "gatepost-queue"), time.time()
    try:
        waiting = await _waiting(bus)
    finally:
        await bus.close()
    chosen = [
        (entry, where)
        for entry, where in waiting
        if target in {where, entry.disposition.received.id} and customer in {None, entry.disposition.received.customer}
    ]
    if not chosen:
        raise ConfigError(f"nothing waits for {plain(target)}; `gatepost queue` shows what does")
    head = ("id", "since (UTC)", "tries", "next", "from", "to", "last answer")
    print(
        table(
            head,
            [
                (
                    entry.disposition.received.id,
                    stamp(entry.since),
                    str(entry.attempts),
                    age(entry.next_at - now) if entry.next_at > now else "now",
                    entry.disposition.received.envelope.reverse_path or "<>",
                    ", ".join(entry.recipients),
                    entry.reply[:100],
                )
                for entry, _ in chosen[:limit]
            ],
        )
    )
    if len(chosen) > limit:
        print(f"and {len(chosen) - limit} more; --limit shows them")


async def order(site: Site, action: str, target: str, customer: str | None, why: str) -> str:
    """Publish an order for a destination or a message and return what a person should read.

    Raises ConfigError where it can't be told which is meant.
    """
    bus, now = KafkaBus(site.kafka, "gatepost-queue"), time.time()
    try:
        message = target if is_message_id(target) else ""
        if message:
            whose = {entry.disposition.received.customer for entry, _ in await _waiting(bus) if _is(entry, message)}
        else:
            rows, _ = await _rows(bus, now)
            whose = {row.customer for row in rows if row.destination == target} or await _configured(bus, target)
        if customer is not None:
            whose &= {customer}
        if len(whose) != 1:
            problem = (
                f"several customers have {plain(target)}; name one with --customer"
                if whose
                else (
                    f"no destination and no waiting message is {plain(target)!r}; `gatepost queue` shows what there is"
                )
            )
            raise ConfigError(problem)
        command = QueueCommand(
            command_id=message_id(now, os.urandom),
            action=Order(action),
            customer=whose.pop(),
            destination="" if message else target,
            message=message,
            by=f"{getpass.getuser()} (command line)",
            why=why[:200],
            at=now,
        )
        await bus.publish([command])
    finally:
        await bus.close()
    return f"{action}: {plain(target)} of {command.customer}"


def _is(entry: Deferred, message: str) -> bool:
    return entry.disposition.received.id == message


async def _configured(bus: Bus, target: str) -> set[str]:
    """Return the customers that have such a destination, so that one can be held before anything waits for it."""
    found: dict[str, bool] = {}
    async for record in bus.read(CUSTOMERS):
        event = record.event
        found[record.key] = isinstance(event, Customer) and any(
            where_of(hosts_of(event, domain.name)) == target for domain in event.domains
        )
    return {name for name, has in found.items() if has}
