"""Keeps the directory and the signals in step with their compacted topics, for as long as the process lives."""

from __future__ import annotations

import asyncio
import logging

from schemas.catalog import CONTACTS, CUSTOMERS, RECIPIENTS, SCANNERS, SENDER_HOLDS, SENDERS, SENT, SIGNALS, Topic
from schemas.events import Contact, SenderEntry, SenderHold, Sent, Signal
from services.core.contacts import Contacts
from services.core.directory import Directory
from services.core.errors import UnreadableEvent
from services.core.holds import SenderHolds
from services.core.senders import Senders
from services.core.sent import SentMail
from services.core.signals import Signals
from services.runtime.bus import Bus

log = logging.getLogger("gatepost.directory")


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
    async for record in bus.follow(SIGNALS, caught_up):
        if isinstance(record.event, Signal):
            signals.apply(record.event)
        else:
            signals.remove(record.key)


async def follow_contacts(bus: Bus, contacts: Contacts) -> None:
    """Apply every correspondent to the memory, for ever. Nobody waits for that: until then nobody is called new."""
    caught_up = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_tell(caught_up, contacts), name="contacts-caught-up")
        async for record in bus.follow(CONTACTS, caught_up):
            if isinstance(record.event, Contact):
                contacts.apply(record.event)


async def follow_sent(bus: Bus, sent: SentMail) -> None:
    """Apply every message that went out to the memory, for ever. Nobody waits for that either."""
    caught_up = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_tell(caught_up, sent), name="sent-caught-up")
        async for record in bus.follow(SENT, caught_up):
            if isinstance(record.event, Sent):
                sent.apply(record.event)


async def _tell(caught_up: asyncio.Event, memory: Contacts | SentMail) -> None:
    await caught_up.wait()
    memory.caught_up()


async def follow_senders(bus: Bus, senders: Senders, caught_up: asyncio.Event) -> None:
    """Apply every entry of the sender lists and every tombstone, for ever; `caught_up` is set at the topic's end."""
    async for record in bus.follow(SENDERS, caught_up):
        if isinstance(record.event, SenderEntry):
            senders.apply(record.event)
        else:
            senders.remove(record.key)


async def follow_holds(bus: Bus, holds: SenderHolds, caught_up: asyncio.Event) -> None:
    """Apply every hold on a sender and every tombstone, for ever; `caught_up` is set at the topic's end."""
    async for record in bus.follow(SENDER_HOLDS, caught_up):
        if isinstance(record.event, SenderHold):
            holds.apply(record.event)
        else:
            holds.remove(record.key)
