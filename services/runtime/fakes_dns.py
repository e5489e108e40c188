"""A domain name system in memory: the real port, faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from services.core.errors import DnsUnavailable
from services.runtime.dns import Answer, canonical


class FakeDns:
    """A zone of (name, type) → records.

    `down` set: nothing is answered. A name in `silent` is never answered, a name in `slow` after so many seconds.
    `signed` names what DNSSEC vouches for. `asked` lists every question that would have left the machine.
    """

    def __init__(self, zone: Mapping[tuple[str, str], Answer] | None = None) -> None:
        self.zone: dict[tuple[str, str], Answer] = {
            (name.lower(), rdtype): records for (name, rdtype), records in (zone or {}).items()
        }
        self.down = False
        self.silent: set[str] = set()
        self.slow: dict[str, float] = {}
        self.signed: set[tuple[str, str]] = set()
        self.asked: list[tuple[str, str]] = []

    async def resolve(self, name: str, rdtype: str) -> Answer:
        known = canonical(name)
        if known is None:
            return ()
        self.asked.append((known, rdtype))
        await asyncio.sleep(self.slow.get(known, 0.0))
        if self.down or known in self.silent:
            raise DnsUnavailable(f"no answer for {rdtype} {known}")
        return self.zone.get((known, rdtype), ())

    async def secure(self, name: str, rdtype: str) -> bool:
        await self.resolve(name, rdtype)
        return (canonical(name) or "", rdtype) in self.signed

    async def close(self) -> None:
        """Nothing is ever under way here."""
