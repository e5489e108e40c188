"""The account of one run: what was sent when, what the reply was, what arrived and whether it was the same."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
from collections.abc import Sequence

from bench.messages import Message, unstuffed

TAG = re.compile(rb"^X-Bench-Id: (\d+)-(\d+)\r\n", re.MULTILINE)
TAKEN = 250


@dataclasses.dataclass(slots=True)
class Entry:
    """One message under way. Times are seconds of one monotonic clock."""

    message: Message
    tag: bytes  # the header line on top of it
    recipient: str
    started: float = 0.0  # MAIL FROM was written
    replied: float = 0.0  # the last reply came in
    code: int = 0  # of the last reply; 0 when the connection was lost
    reply: str = ""
    arrivals: list[tuple[float, bytes]] = dataclasses.field(default_factory=list)  # as on the wire, stuffed

    @property
    def accepted(self) -> bool:
        """Whether the sender heard 250 after the final dot."""
        return self.code == TAKEN

    @property
    def took_ms(self) -> float:
        """How long it took to arrive; infinity for what did not."""
        return (self.arrivals[0][0] - self.started) * 1000 if self.arrivals else math.inf


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What one run showed. Latencies are milliseconds, from MAIL FROM, ascending."""

    sent: int
    accepted: int
    arrived: int
    refused: int
    twice: int  # arrivals beyond the first
    changed: int  # messages whose own octets, header and body, are not those sent
    changed_bodies: int  # messages whose octets after the first empty line are not those sent
    accept_ms: Sequence[float]
    end_to_end_ms: Sequence[float]
    accepted_per_s: float
    arrived_per_s: float

    @property
    def lost(self) -> int:
        """Messages that were accepted and did not arrive."""
        return self.accepted - self.arrived


class Ledger:
    """The entries of one run. A message of another run that arrives late is `strange`.

    The messages go round; `first` says where they begin, which is else the number of the run.
    """

    def __init__(
        self, run: int, messages: Sequence[Message], count: int, domain: str, first: int | None = None
    ) -> None:
        self._run = run
        self.entries = [
            Entry(
                messages[((run if first is None else first) * count + number) % len(messages)],
                b"X-Bench-Id: %d-%d\r\n" % (run, number),
                f"user{number % 100}@{domain}",
            )
            for number in range(count)
        ]
        self.strange = 0
        self.last_arrival = 0.0
        self._arrived = 0

    def note(self, at: float, wire: bytes) -> None:
        """Take down an arrival. Cheap: it runs between the two ends that are being measured."""
        found = TAG.search(wire)
        if found is None or int(found[1]) != self._run or int(found[2]) >= len(self.entries):
            self.strange += 1
            return
        entry = self.entries[int(found[2])]
        self._arrived += not entry.arrivals
        entry.arrivals.append((at, wire))
        self.last_arrival = at

    async def settled(self, quiet: float, after: float) -> None:
        """Return `after` seconds past the moment when all has arrived, or when nothing has for `quiet` seconds."""
        loop = asyncio.get_running_loop()
        wanted = sum(entry.accepted for entry in self.entries)
        seen, since = self._arrived, loop.time()
        while self._arrived < wanted and loop.time() - since < quiet:
            await asyncio.sleep(0.01)
            if self._arrived != seen:
                seen, since = self._arrived, loop.time()
        await asyncio.sleep(after)

    def end_to_end_ms(self) -> list[float]:
        """Return how long each message took, in the order of the entries; infinity for what did not arrive."""
        return [entry.took_ms for entry in self.entries]

    def figures(self) -> Figures:
        """Return what the run showed."""
        taken = [entry for entry in self.entries if entry.accepted]
        arrived = [entry for entry in taken if entry.arrivals]
        began = min((entry.started for entry in self.entries if entry.started), default=0.0)
        return Figures(
            sent=len(self.entries),
            accepted=len(taken),
            arrived=len(arrived),
            refused=len(self.entries) - len(taken),
            twice=sum(max(0, len(entry.arrivals) - 1) for entry in self.entries),
            changed=sum(any(not same(entry, wire) for _, wire in entry.arrivals) for entry in self.entries),
            changed_bodies=sum(any(not same_body(each, wire) for _, wire in each.arrivals) for each in self.entries),
            accept_ms=sorted((entry.replied - entry.started) * 1000 for entry in taken),
            end_to_end_ms=sorted(entry.took_ms for entry in arrived),
            accepted_per_s=_rate(len(taken), began, max((entry.replied for entry in taken), default=began)),
            arrived_per_s=_rate(len(arrived), began, max((e.arrivals[0][0] for e in arrived), default=began)),
        )


def same(entry: Entry, wire: bytes) -> bool:
    """Return whether the octets from our tag to the end are those sent; what is above the tag was added on the way."""
    _, tag, rest = unstuffed(wire).partition(entry.tag)
    return bool(tag) and rest == entry.message.content


def same_body(entry: Entry, wire: bytes) -> bool:
    """Return whether what stands after the first empty line is what was sent, whatever fields were added."""
    return unstuffed(wire).partition(b"\r\n\r\n")[2] == entry.message.content.partition(b"\r\n\r\n")[2]


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed (nearest rank); NaN of nothing."""
    if not ascending:
        return float("nan")
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def _rate(count: int, began: float, ended: float) -> float:
    return count / (ended - began) if ended > began else 0.0
