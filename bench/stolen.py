"""A stolen account: python -m bench.stolen

Starts `gatepost up` on an empty data folder with one customer that sends through it. One of its accounts hands in 5,000
messages, each to somebody else, as fast as they are taken, and goes on when it is put off; beside it others send now
and then. Says when it was slowed, when it was held, when its administrator was told, and what became of the others.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path
from time import perf_counter

import uvloop

from bench.dns import NameServer
from bench.facts import facts
from bench.frontdoor import Conversation
from bench.house import COMMAND, DOMAIN, House, NotUp
from bench.messages import message
from bench.sink import Sink

CONFIG = """\
customers:
  - id: bench
    domains:
      - {{name: {domain}, relay: ["127.0.0.1:{port}"], recipients: any}}
    outbound:
      enabled: yes
      addresses: [127.0.0.1]
"""
THIEF = f"anna@{DOMAIN}"
OTHERS = tuple(f"{name}@{DOMAIN}" for name in ("bert", "cleo", "dora"))
CONNECTIONS = 4  # of the account
EVERY = 0.5  # seconds between messages of the others
BODY = (
    b"Dear colleagues,\r\n\r\nplease find below what we agreed upon in the meeting of last week. The budget of the\r\n"
    b"second quarter was discussed, and Maria will send the numbers to the team before Friday. The next\r\n"
    b"meeting takes place in the usual room on Tuesday at ten; tell me if you can't come.\r\n\r\n"
    b"Kind regards\r\nAnna\r\n"
)
SLOWED, HELD = "450 4.7.1 Too many messages from this sender", "450 4.7.1 Sending is held"
SETTLE = 20.0  # seconds after the last message in which what is under way comes to its end


class Submitting:
    """Hands in messages, and counts the answers."""

    def __init__(self, port: int, began: float) -> None:
        self._port = port
        self._began = began
        self.answers: Counter[str] = Counter()
        self.first: dict[str, float] = {}  # seconds until an answer was first heard

    async def begun(self) -> Conversation:
        """Return a connection past its EHLO."""
        return await Conversation.begun(self._port, "127.0.0.1")

    async def send(self, talk: Conversation, sender: str, number: int) -> bool:
        """Hand in one message; return whether it was taken."""
        to = b"r%d@far%d.test" % (number, number % 50)
        head = (
            b"From: <%s>\r\nTo: <%s>\r\nSubject: The minutes of meeting %d\r\nDate: %s\r\nMessage-ID: <%d@%s>\r\n\r\n"
            % (
                sender.encode(),
                to,
                number,
                formatdate().encode(),
                number,
                DOMAIN.encode(),
            )
        )
        commands = (
            b"MAIL FROM:<%s>\r\n" % sender.encode(),
            b"RCPT TO:<%s>\r\n" % to,
            b"DATA\r\n",
            head + BODY + b".\r\n",
        )
        answer = b""
        for command in commands:
            answer = await talk.said(command)
            if answer[:1] not in b"23":
                break
        said = "taken" if answer.startswith(b"250") else answer.decode().strip()
        self.answers[said] += 1
        self.first.setdefault(said, perf_counter() - self._began)
        return said == "taken"


async def stolen(submitting: Submitting, numbers: itertools.count[int], most: int, pause: float) -> None:
    """Send as the account until all have gone by; what is put off is put off."""
    talk = await submitting.begun()
    while (number := next(numbers)) < most:
        try:
            if not await submitting.send(talk, THIEF, number):  # at MAIL: there is nothing to reset
                await asyncio.sleep(pause)
        except ConnectionError:
            submitting.answers["connection closed"] += 1
            talk = await submitting.begun()
    talk.writer.close()


async def beside(submitting: Submitting, stop: asyncio.Event, first: int) -> None:
    """Send as the others until `stop`."""
    for number in itertools.count(first):
        if stop.is_set():
            return
        talk = await submitting.begun()
        await submitting.send(talk, OTHERS[number % len(OTHERS)], number)
        await talk.said(b"QUIT\r\n")
        talk.writer.close()
        await asyncio.sleep(EVERY)


async def gatepost(data: Path, *words: str) -> str:
    """Return what a command prints."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *words, "--data", str(data), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return out.decode().strip()


async def main(chosen: argparse.Namespace) -> str:
    """Return the report."""
    arrived: dict[str, list[float]] = {"notice": [], THIEF: [], **{name: [] for name in OTHERS}}
    notice: list[bytes] = []

    def note(at: float, wire: bytes) -> None:
        if b"\r\nSubject: Sending is held" in wire:
            arrived["notice"].append(at)
            notice.append(wire)
        for name in (THIEF, *OTHERS):
            if b"\r\nFrom: <%s>" % name.encode() in wire:
                arrived[name].append(at)

    with tempfile.TemporaryDirectory(dir=chosen.data, prefix="gatepost-bench-") as folder:
        known = facts(Path(folder), [message(BODY)])
        data = Path(folder) / "data"
        async with Sink() as sink, NameServer() as names:
            sink.note = note
            settings = {
                "GATEPOST_SMARTHOST": f"127.0.0.1:{sink.port}",
                "GATEPOST_SUBMISSION_PORT": str(chosen.port),
                "GATEPOST_LOG_LEVEL": "INFO",
            }
            async with House(Path(folder), sink.port, names.address, config=CONFIG, environ=settings) as house:
                began = perf_counter()
                account, others = Submitting(chosen.port, began), Submitting(chosen.port, began)
                stop, numbers = asyncio.Event(), itertools.count()
                aside = asyncio.create_task(beside(others, stop, 10_000_000))
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(CONNECTIONS):
                        tasks.create_task(stolen(account, numbers, chosen.messages, chosen.pause))
                took = perf_counter() - began
                await asyncio.sleep(SETTLE)
                held = await gatepost(data, "submission", "holds")
                lifted = await gatepost(data, "submission", "lift", THIEF, "--why", "a new password")
                await asyncio.sleep(2.0)
                again = Submitting(chosen.port, began)
                talk = await again.begun()
                await again.send(talk, THIEF, chosen.messages + 1)
                talk.writer.close()
                stop.set()
                await aside
                await asyncio.sleep(SETTLE / 2)
                quarantine = await gatepost(data, "quarantine", "list", "--limit", "10000")
                balance = await gatepost(data, "ledger")
                house.check()

    def when(said: str) -> str:
        found = [seconds for answer, seconds in account.first.items() if answer.startswith(said)]
        return f"{min(found):.1f} s" if found else "never"

    def times(said: str) -> int:
        return sum(count for answer, count in account.answers.items() if answer.startswith(said))

    kept, went = quarantine.count("the sender is held"), sum(len(arrived[name]) for name in OTHERS)
    told = f"{arrived['notice'][0] - began:.1f} s" if arrived["notice"] else "never"
    lines = [
        f"- the account handed in {chosen.messages:,} messages over {CONNECTIONS} connections within {took:.0f} s",
        f"- taken: {account.answers['taken']}",
        f"- slowed ({SLOWED}): {times(SLOWED)} times, first after {when(SLOWED)}",
        f"- held ({HELD}): {times(HELD)} times, first after {when(HELD)}",
        f"- its administrator was told {len(arrived['notice'])} time(s), first after {told}",
        f"- of what was taken, {len(arrived[THIEF])} went out and {kept} lie in the quarantine",
        f"- others: {sum(others.answers.values())} handed in, {others.answers['taken']} taken, {went} arrived",
        f"- after the lift: {', '.join(again.answers)}",
    ]
    said = [f"    {line}" for text in (held, "", lifted, "", balance) for line in text.splitlines() or [""]]
    mail = [f"    {line}" for line in (notice[0] if notice else b"").decode("utf-8", "replace").splitlines()]
    head = [f"    {name:<20}  {value}" for name, value in known.items()]
    return "\n".join(
        ["# bench/stolen", "", *head, "", *lines, "", "holds, lift, ledger:", "", *said, "", "the mail:", "", *mail, ""]
    )


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m bench.stolen", description=__doc__)
    options.add_argument("--messages", type=int, default=5_000)
    options.add_argument("--pause", type=float, default=0.02, help="seconds after each message that was put off")
    options.add_argument("--port", type=int, default=20_000 + os.getpid() % 10_000, help="of submission")
    options.add_argument("--data", type=Path, default=None, help="where the data folder is made; a real disk")
    return options.parse_args(words)


if __name__ == "__main__":
    try:
        print(uvloop.run(main(_arguments(sys.argv[1:]))))
    except NotUp as error:
        sys.exit(f"bench: {error}")
