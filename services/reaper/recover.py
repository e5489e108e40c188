"""Publish again what the store holds and nothing else covers (invariant 3).

After an unclean stop the log may miss its last seconds: one node acknowledges from the page cache. The store is synced,
and every object carries its Received event, so whatever was accepted is still there and is put back on its way.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Mapping

import msgspec

from schemas.catalog import DEFERRED, OUTCOMES
from schemas.events import Deferred, Outcome, Received
from services.core.errors import ObjectCorrupt, ObjectNotFound
from services.core.ids import born, is_message_id
from services.core.stored import unpack
from services.runtime.bus import Bus
from services.runtime.store import Store

log = logging.getLogger("gatepost.recover")

BATCH = 200  # events published together


@dataclasses.dataclass(slots=True)
class Report:
    """What a recovery did."""

    published: int = 0  # put back on their way
    covered: int = 0  # wait in the deferred queue or the quarantine
    removed: int = 0  # ended before; only their objects were left
    unreadable: int = 0  # objects that are not ours; left where they are


async def recover(store: Store, bus: Bus, *, before: float, held: Mapping[str, frozenset[str]]) -> Report:
    """Return what was done for every object that is older than `before` (seconds since the epoch).

    `held` names the recipients of each message in quarantine. What is accepted while this runs is newer than `before`
    and is left alone. Raises StoreUnavailable or BusUnavailable; running it again is harmless.
    """
    keys = {}
    async for stat in store.list("mail"):
        message = stat.key.rpartition("/")[2]
        if is_message_id(message) and born(message) < before:
            keys[message] = stat.key
    ended, waiting = await _known(bus, set(keys))
    report = Report()
    batch: list[Received] = []
    for message, key in sorted(keys.items()):  # by id, so by time of acceptance
        try:
            received, _ = unpack(await store.get(key))
        except ObjectNotFound:
            continue  # ended meanwhile
        except ObjectCorrupt as error:
            report.unreadable += 1
            log.error("id=%s event=object-unreadable key=%s error=%s", message, key, error)
            continue
        remaining = set(received.envelope.recipients) - ended[message]
        if not remaining:
            await store.delete(key)
            report.removed += 1
        elif remaining <= waiting[message] | held.get(message, frozenset()):
            report.covered += 1
        else:
            batch.append(msgspec.structs.replace(received, recovered=True))
            report.published += 1
            if len(batch) == BATCH:
                await bus.publish(batch)
                batch.clear()
    if batch:
        await bus.publish(batch)
    log.info(
        "event=recovered published=%d covered=%d removed=%d unreadable=%d",
        report.published,
        report.covered,
        report.removed,
        report.unreadable,
    )
    return report


async def _known(bus: Bus, messages: set[str]) -> tuple[defaultdict[str, set[str]], defaultdict[str, set[str]]]:
    """Return the recipients of these messages that have an outcome, and those that wait in the deferred queue."""
    ended: defaultdict[str, set[str]] = defaultdict(set)
    waiting: defaultdict[str, set[str]] = defaultdict(set)
    if not messages:
        return ended, waiting
    async for record in bus.read(OUTCOMES):
        if isinstance(record.event, Outcome) and record.event.id in messages:
            ended[record.event.id].update(record.event.recipients)
    live: dict[str, Deferred] = {}
    async for record in bus.read(DEFERRED):
        if isinstance(record.event, Deferred):
            live[record.key] = record.event
        else:
            live.pop(record.key, None)
    for entry in live.values():
        waiting[entry.disposition.received.id].update(entry.recipients)
    return ended, waiting
