"""Asks DNS about a client while it is greeted: all questions at once, under one deadline, none waited for twice."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Final

from services.core.errors import DnsUnavailable
from services.ingress.reputation import DnsList, Facts, question
from services.runtime.dns import Answer, Dns

_NAMES_MOST: Final = 5  # names of one address that are followed back


class Lookup:
    """The questions that are asked about every client. The resolver behind the port keeps answers for their TTL."""

    def __init__(self, dns: Dns, lists: Sequence[DnsList], *, reverse: bool, within: float) -> None:
        self._dns = dns
        self._lists = tuple(lists)
        self._reverse = reverse
        self._within = within

    def __bool__(self) -> bool:
        return bool(self._lists) or self._reverse

    async def facts(self, ip: str) -> Facts:
        """Return what is known after at most `within` seconds; what wasn't answered by then is unknown."""
        answers = [asyncio.create_task(self._ask(each, ip), name=f"dnsbl-{each.zone}") for each in self._lists]
        names = asyncio.create_task(self._names(ip), name="reverse-dns") if self._reverse else None
        tasks: list[asyncio.Task[Answer | None] | asyncio.Task[tuple[tuple[str, ...] | None, bool | None]]] = [
            *answers,
            *([names] if names else []),
        ]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._within)
        finally:
            for task in tasks:
                task.cancel()
        listed = tuple((each, _result(task)) for each, task in zip(self._lists, answers, strict=True))
        found, confirmed = names.result() if names and _came(names) else (None, None)
        return Facts(listed, found, confirmed)

    async def _ask(self, each: DnsList, ip: str) -> Answer | None:
        try:
            return await self._dns.resolve(question(ip, each.zone), "A")
        except DnsUnavailable:
            return None

    async def _names(self, ip: str) -> tuple[tuple[str, ...] | None, bool | None]:
        """Return the names of the address, and whether one of them has it as its address; None where nobody knows."""
        address = ipaddress.ip_address(ip)
        try:
            found = await self._dns.resolve(address.reverse_pointer, "PTR")
        except DnsUnavailable:
            return None, None
        names = tuple(str(name) for name in found)
        unknown = False
        for name in names[:_NAMES_MOST]:
            try:
                back = await self._dns.resolve(name, "A" if address.version == 4 else "AAAA")  # noqa: PLR2004  # of IP
            except DnsUnavailable:
                unknown = True
                continue
            if str(address) in back:
                return names, True
        return names, None if unknown else False


def _came(task: asyncio.Task[tuple[tuple[str, ...] | None, bool | None]]) -> bool:
    return task.done() and not task.cancelled()


def _result(task: asyncio.Task[Answer | None]) -> Answer | None:
    return task.result() if task.done() and not task.cancelled() else None
