"""Answers gathered from the DNS port, under one deadline for all of a message's questions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from services.core.clock import Clock
from services.core.errors import DnsUnavailable
from services.runtime.dns import Answer, Dns
from services.scanners.auth.spf import NeedsDns, Question, Result, ahead, evaluate

PATIENCE: Final = 6.0  # seconds for all of a message's questions; what is open then counts as not answered
_ROUNDS: Final = 150  # evaluations of one SPF record: RFC 7208 allows fewer look-ups than that


class Lookups:
    """What DNS said so far. `known` maps a question to its records, or None when there was no answer."""

    def __init__(self, dns: Dns, clock: Clock) -> None:
        self.known: dict[Question, Answer | None] = {}
        self._dns = dns
        self._clock = clock
        self._end = clock.monotonic() + PATIENCE

    async def ask(self, questions: Iterable[Question]) -> None:
        """Make the answers known, all questions at once."""
        missing = [question for question in dict.fromkeys(questions) if question not in self.known]
        answers = await asyncio.gather(*(self._one(question) for question in missing))
        self.known.update(zip(missing, answers, strict=True))

    def texts(self, name: str) -> list[bytes] | None:
        """Return the TXT records of a name that was asked for, None when there was no answer."""
        answer = self.known.get((name, "TXT"))
        return None if answer is None else [item for item in answer if isinstance(item, bytes)]

    async def spf(self, client_ip: str, reverse_path: str, helo: str) -> Result:
        """Return the SPF result, asking what it needs; includes are asked for together, one round a level."""
        address_type = "AAAA" if ":" in client_ip else "A"
        for _ in range(_ROUNDS):
            try:
                return evaluate(client_ip, reverse_path, helo, self.known)
            except NeedsDns as need:
                await self.ask([need.question, *self._ahead(address_type)])
        return Result("permerror", "mailfrom" if reverse_path else "helo", reverse_path.rpartition("@")[2])

    def _ahead(self, address_type: str) -> list[Question]:
        records = [
            item
            for answer in self.known.values()
            for item in answer or ()
            if isinstance(item, bytes) and item[:6].lower() == b"v=spf1"
        ]
        return [question for record in records[:20] for question in ahead(record, address_type)]

    async def _one(self, question: Question) -> Answer | None:
        try:
            async with asyncio.timeout(max(0.0, self._end - self._clock.monotonic())):
                return await self._dns.resolve(*question)
        except (DnsUnavailable, TimeoutError):
            return None
