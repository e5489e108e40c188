"""All scanners of one process as one member of one group: a record is fetched and decoded once, and answered at once.

On a cluster each scanner is a Deployment with a group of its own. Where one process runs all of them, seven groups are
seven times the requests to the broker for every message, and cost more than what they carry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from schemas.events import Event, Verdict
from services.core.errors import Temporary
from services.runtime.bus import Record, Stateless, Tombstone
from services.scanners.app import ScannerService

GROUP: Final = "scanners"  # of processes that run all scanners there are; never of those that run some of them

_Key = tuple[str, int, int]  # topic, partition, offset


class Together(Stateless):
    """The Service of all scanners. What one of them can't answer yet is asked again of that one alone."""

    def __init__(self, units: Sequence[ScannerService]) -> None:
        self.joined = asyncio.Event()  # set once partitions were assigned, even none
        self._units = tuple(units)
        self._answered: dict[_Key, dict[str, Sequence[Event | Tombstone]]] = {}  # of records that are tried again

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Return what every scanner says of the record, in the scanners' order: all verdicts as one event.

        Raises what one of them raises: what is temporary only when nothing else is the matter.
        """
        key = (record.topic.name, record.partition, record.offset)
        answers = self._answered.pop(key, {})
        asked = [unit for unit in self._units if unit.group not in answers]
        outcomes = await asyncio.gather(*(unit.handle(record) for unit in asked), return_exceptions=True)
        failed: list[BaseException] = []
        for unit, outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                failed.append(outcome)
            else:
                answers[unit.group] = outcome
        if failed:
            self._answered[key] = answers
            raise min(failed, key=lambda error: isinstance(error, Temporary))
        return as_one([event for unit in self._units for event in answers[unit.group]])

    async def finished(self, record: Record) -> None:
        """Let go of what a dead letter has left."""
        self._answered.pop((record.topic.name, record.partition, record.offset), None)

    async def assigned(self, partitions: frozenset[int]) -> None:  # noqa: ARG002  # scanners keep nothing
        self.joined.set()

    async def revoked(self, partitions: frozenset[int]) -> None:  # noqa: ARG002  # all of them go
        self._answered.clear()


def as_one(events: Sequence[Event | Tombstone]) -> list[Event | Tombstone]:
    """Return the events with all verdicts, which are on one message, in the first of them (`Verdict.answers`).

    Seven records of a message cost whoever writes, keeps and reads them several times what one does.
    """
    verdicts = [event for event in events if isinstance(event, Verdict)]
    if len(verdicts) < 2:  # noqa: PLR2004 - one is one already
        return list(events)
    others = [event for event in events if not isinstance(event, Verdict)]
    return [msgspec.structs.replace(verdicts[0], also=tuple(verdicts[1:])), *others]
