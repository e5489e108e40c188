"""Keeps the directory and the signals in step with their compacted topics, for as long as the process lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from schemas.catalog import CONTACTS, CUSTOMERS, RECIPIENTS, SCANNERS, SENDER_HOLDS, SENDERS, SENT, SIGNALS, Topic
from schemas.events import Contact, Event, SenderEntry, SenderHold, Sent, Signal
from services.core.contacts import Contacts
from services.core.directory import Directory
from services.core.errors import UnreadableEvent
from services.core.holds import SenderHolds
from services.core.senders import Senders
from services.core.sent import SentMail
from services.core.signals import Signals
from services.runtime.bus import Bus

log = logging.getLogger("gatepost.directory")
E = TypeVar("E", bound=Event)


async def follow(bus: Bus, directory: Directory) -> None:
    """Apply every change to the directory, for ever; it is ready once all three topics have been read to their end."""
    caught_up = {topic: asyncio.Event() for topic in (CUSTOMERS, RECIPIENTS, SCANNERS)}
    async with asyncio.TaskGroup() as tasks:
        for topic, event in caught_up.items():
            tasks.create_task(_follow(bus, topic, directory, event), name=f"follow-{topic.name}")
        for event in caught_up.values():
            await event.wait()
        directory.caught_up()
        log.info("event=directory-ready customers=%d plan=%s", len(directory.customers()), ",".join(directory.plan()))


async def _follow(bus: Bus, topic: Topic, directory: Directory, caught_up: asyncio.Event) -> None:
    async for record in bus.follow(topic, caught_up):
        try:
            if record.event is None:
                directory.remove(topic.struct, record.key)
            else:
                directory.apply(record.event)
        except UnreadableEvent as error:
            # The rest of the directory still serves; the one entry stays as it was.
            log.error("topic=%s offset=%d event=entry-refused error=%s", topic.name, record.offset, error)
        if caught_up.is_set():
            # A sync may bring recipients by the ten thousand: who wants a line for each asks for it.
            log.log(
                logging.DEBUG if topic is RECIPIENTS else logging.INFO,
                "topic=%s key=%s event=directory-changed",
                topic.name,
                record.key,
            )


async def follow_signals(bus: Bus, signals: Signals, caught_up: asyncio.Event) -> None:
    """Apply every signal and every tombstone to the view, for ever; `caught_up` is set once the topic's end was read.

    Nobody has to wait for that: without signals the door decides by what it counted itself.
    """
    await _keep(bus, SIGNALS, Signal, signals.apply, signals.remove, caught_up)


async def follow_contacts(bus: Bus, contacts: Contacts) -> None:
    """Apply every correspondent to the memory, for ever. Nobody waits for that: until then nobody is called new."""
    await _remember(bus, CONTACTS, Contact, contacts.apply, contacts.caught_up)


async def follow_sent(bus: Bus, sent: SentMail) -> None:
    """Apply every message that went out to the memory, for ever. Nobody waits for that either."""
    await _remember(bus, SENT, Sent, sent.apply, sent.caught_up)


async def follow_senders(bus: Bus, senders: Senders, caught_up: asyncio.Event) -> None:
    """Apply every entry of the sender lists and every tombstone, for ever; `caught_up` is set at the topic's end."""
    await _keep(bus, SENDERS, SenderEntry, senders.apply, senders.remove, caught_up)


async def follow_holds(bus: Bus, holds: SenderHolds, caught_up: asyncio.Event) -> None:
    """Apply every hold on a sender and every tombstone, for ever; `caught_up` is set at the topic's end."""
    await _keep(bus, SENDER_HOLDS, SenderHold, holds.apply, holds.remove, caught_up)


async def _keep(
    bus: Bus,
    topic: Topic,
    kind: type[E],
    apply: Callable[[E], None],
    remove: Callable[[str], None],
    caught_up: asyncio.Event,
) -> None:
    async for record in bus.follow(topic, caught_up):
        if isinstance(record.event, kind):
            apply(record.event)
        else:
            remove(record.key)


async def _remember(
    bus: Bus, topic: Topic, kind: type[E], apply: Callable[[E], None], tell: Callable[[], None]
) -> None:
    """Apply what the topic brings, and tell the memory once it knows all; its tombstones mean nothing to it."""
    caught_up = asyncio.Event()

    async def told() -> None:
        await caught_up.wait()
        tell()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(told(), name=f"{topic.name}-caught-up")
        await _keep(bus, topic, kind, apply, lambda _: None, caught_up)
