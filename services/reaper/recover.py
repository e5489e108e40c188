"""Publish again what the store holds and nothing else covers (invariant 3).

After an unclean stop the log may miss its last seconds: one node acknowledges from the page cache. The store is synced,
and every object carries its Received event, so whatever was accepted is still there and is put back on its way.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from schemas.catalog import DEFERRED, MOVED, OUTCOMES
from schemas.events import Deferred, Moved, Outcome, Received
from services.core.errors import ObjectCorrupt, ObjectNotFound
from services.core.ids import born, is_message_id
from services.core.sealed import PREFIX, released_prefix, unpack_head
from services.core.stored import unpack
from services.runtime.bus import Bus
from services.runtime.latest import latest
from services.runtime.store import Store

log = logging.getLogger("gatepost.recover")

BATCH = 200  # events published together
_NONE: Final[frozenset[str]] = frozenset()

Known = defaultdict[str, set[str]]


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
    keys = await _there(store, "mail", before)
    sealed = await _there(store, PREFIX, before)
    ended, waiting, moved = await _known(bus, {*keys, *sealed})
    report = Report()
    await _holds(
        store, bus, sealed, report, lambda message: (ended[message], waiting[message] | held.get(message, _NONE))
    )
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
        elif message in sealed and remaining <= moved[message]:
            await store.delete(key)  # the quarantine's copy is what counts, and it was looked at above
        elif remaining <= waiting[message] | held.get(message, _NONE):
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


async def _there(store: Store, prefix: str, before: float) -> dict[str, str]:
    """Return message id → key of what lies under the prefix and is older than `before`."""
    keys: dict[str, str] = {}
    async for stat in store.list(prefix):
        message = stat.key.rpartition("/")[2]
        if is_message_id(message) and born(message) < before:
            keys[message] = stat.key
    return keys


async def _holds(
    store: Store,
    bus: Bus,
    sealed: Mapping[str, str],
    report: Report,
    known: Callable[[str], tuple[AbstractSet[str], AbstractSet[str]]],
) -> None:
    """Publish again the disposition of each sealed message that neither the index nor the queue knows.

    It needs no key: the header says who is held. The quarantine holds them again, or says again how they ended.
    """
    for message, key in sorted(sealed.items()):
        try:
            disposition = unpack_head(await store.get(key))[0].disposition
        except ObjectNotFound:
            continue
        except ObjectCorrupt as error:
            report.unreadable += 1
            log.error("id=%s event=object-unreadable key=%s error=%s", message, key, error)
            continue
        ended, waiting = known(message)
        remaining = {name for branch in disposition.branches for name in branch.recipients} - ended
        if not remaining:
            await store.delete(key)
            async for stat in store.list(released_prefix(disposition.received.customer, message)):
                await store.delete(stat.key)
            report.removed += 1
        elif remaining <= waiting:
            report.covered += 1
        else:
            received = msgspec.structs.replace(disposition.received, recovered=True)
            await bus.publish([msgspec.structs.replace(disposition, received=received)])
            report.published += 1


async def _known(bus: Bus, messages: set[str]) -> tuple[Known, Known, Known]:
    """Return the recipients of these messages that have an outcome, wait in the queue, or moved to the quarantine."""
    ended: Known = defaultdict(set)
    waiting: Known = defaultdict(set)
    moved: Known = defaultdict(set)
    if not messages:
        return ended, waiting, moved
    async for record in bus.read(MOVED):
        if isinstance(record.event, Moved) and record.event.id in messages:
            moved[record.event.id].update(record.event.recipients)
    async for record in bus.read(OUTCOMES):
        if isinstance(record.event, Outcome) and record.event.id in messages:
            ended[record.event.id].update(record.event.recipients)
    live = await latest(bus, DEFERRED, Deferred)
    for entry in live.values():
        waiting[entry.disposition.received.id].update(entry.recipients)
    return ended, waiting, moved
