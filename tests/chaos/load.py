"""The sender: a stream of messages, each with a token of its own, and a note of what became of each session."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Sequence

from tests.chaos.verdict import Sent
from tests.house.sender import EICAR, GTUBE, plain, send, with_attachment

KINDS = {"clean": 60, "two": 8, "large": 6, "held": 6, "virus": 10, "spam": 10}
STOPPED = ("virus", "spam")
LARGE = 400_000  # octets: past what ingress keeps in memory, so it goes through the spool
_ID = re.compile(r"id=([0-9A-Z]{26})")


class Load:
    """Sends at a steady pace over several connections until it is told to stop."""

    def __init__(self, seed: int, ports: Sequence[int], each_second: float) -> None:
        self.accepted: list[Sent] = []
        self.stopped: dict[str, str] = {}  # token → kind of what must not arrive
        self.answers: Counter[str] = Counter()
        self._chance = random.Random(f"load {seed}")
        self._ports = ports
        self._pace = 1 / each_second
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`, then wait for the answers that are still to come."""
        while not stop.is_set():
            if len(self._tasks) < 40:  # a hung part slows the sender, as it would any other
                task = asyncio.create_task(self._one())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(self._pace)
        if self._tasks:
            await asyncio.gather(*self._tasks)

    async def _one(self) -> None:
        self._number += 1
        (kind,) = self._chance.choices(list(KINDS), list(KINDS.values()))
        token = f"chaos-{self._number:06d}-{kind}"
        recipients = {"two": ("ann@example.test", "bob@example.test"), "held": ("held@example.test",)}.get(
            kind, ("bob@example.test",)
        )
        if kind in STOPPED:
            self.stopped[token] = kind
        reply = await send(self._chance.choice(self._ports), self._message(kind, token), recipients, within=90.0)
        self.answers[str(reply.code) if reply.code else "connection lost"] += 1
        if reply.code == 250 and (found := _ID.search(reply.text)):
            self.accepted.append(Sent(found[1], token, kind, recipients))

    @staticmethod
    def _message(kind: str, token: str) -> bytes:
        match kind:
            case "virus":
                return with_attachment(token, "invoice.com", EICAR)
            case "spam":
                return plain(token, f"Hello,\r\n{GTUBE}\r\n")
            case "large":
                return plain(token, "All work and no play makes Jack a dull boy.\r\n" * (LARGE // 45))
            case _:
                return plain(token)
