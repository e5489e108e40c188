"""The front door under attack: python -m bench.frontdoor

Starts `gatepost up` on an empty data folder, sends messages at a fixed rate over connections that behave, and measures
from MAIL to the 250 after the final dot: first alone, then beside idle connections, slow ones and a harvester, each of
which comes from an address of its own on loopback. The attackers are a process of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from time import perf_counter

import uvloop

from bench import usage
from bench.dns import NameServer
from bench.facts import facts
from bench.house import DOMAIN, House, NotUp
from bench.ledger import percentile
from bench.messages import message
from bench.sink import Sink

RECIPIENTS = 50
LISTED = ", ".join(f"u{n}" for n in range(RECIPIENTS))
CONFIG = f"""\
customers:
  - id: bench
    domains:
      - {{{{name: {{domain}}, relay: ["127.0.0.1:{{port}}"], recipients: [{LISTED}]}}}}
    policy:
      rules: [{{{{name: all, then: deliver}}}}]
"""
STRANGERS = {"GATEPOST_INGRESS_EXEMPT": "192.0.2.0/24", "GATEPOST_INGRESS_GREET_PAUSE": "0.2"}
SENDERS = 4  # connections of the one who behaves
SETTLE = 6.0  # seconds until the attack stands: what is greeted late is greeted by then
BODY = b"Subject: measured\r\n\r\n" + b"An ordinary line of an ordinary message, as long as lines are.\r\n" * 60
HARVESTER, GOOD = "127.9.9.9", "127.8.8.8"
WITHIN = 30.0  # seconds for one answer


class Conversation:
    """One client connection from an address of loopback."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def begun(cls, port: int, ip: str) -> Conversation:
        """Return one past its EHLO; raise ConnectionError."""
        talk = cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(ip, 0)))
        await talk.heard()
        await talk.said(b"EHLO sender.test\r\n")
        return talk

    async def said(self, command: bytes) -> bytes:
        """Send one command and return the last line of the answer."""
        self.writer.write(command)
        return await self.heard()

    async def heard(self) -> bytes:
        """Return the last line of an answer; raise ConnectionError at the end."""
        async with asyncio.timeout(WITHIN):
            while True:
                line = await self._reader.readline()
                if not line:
                    raise ConnectionResetError("closed")
                if line[3:4] != b"-":
                    return line


# --- the attack


async def attack(port: int, idle: int, slow: int, harvesters: int) -> None:
    """Attack until the process is told to stop, and print what became of it."""
    seen: Counter[str] = Counter()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks = [asyncio.create_task(_idle(port, f"127.1.{n % 250}.{n // 250 + 1}", seen)) for n in range(idle)]
    tasks += [asyncio.create_task(_slow(port, f"127.2.{n}.1", n, seen)) for n in range(slow)]
    tasks += [asyncio.create_task(_harvest(port, HARVESTER, seen)) for _ in range(harvesters)]
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(", ".join(f"{seen[name]} {name}" for name in sorted(seen)))


async def _idle(port: int, ip: str, seen: Counter[str]) -> None:
    while True:
        with contextlib.suppress(OSError, TimeoutError):
            talk = await Conversation.begun(port, ip)
            seen["idle connections begun"] += 1
            while True:
                await asyncio.sleep(60)
                await talk.said(b"NOOP\r\n")
        await asyncio.sleep(1)


async def _slow(port: int, ip: str, number: int, seen: Counter[str]) -> None:
    """Send an octet at a time: half of them a command, half of them a message."""
    while True:
        with contextlib.suppress(OSError, TimeoutError):
            talk = await Conversation.begun(port, ip)
            if number % 2:
                await talk.said(b"MAIL FROM:<slow@sender.test>\r\n")
                await talk.said(b"RCPT TO:<u1@%s>\r\n" % DOMAIN.encode())
                await talk.said(b"DATA\r\n")
            seen["slow connections begun"] += 1
            while True:
                talk.writer.write(b"x")
                await talk.writer.drain()
                await asyncio.sleep(0.2)
        await asyncio.sleep(1)


async def _harvest(port: int, ip: str, seen: Counter[str]) -> None:
    names = itertools.count()
    while True:
        with contextlib.suppress(OSError, TimeoutError):
            talk = await Conversation.begun(port, ip)
            await talk.said(b"MAIL FROM:<harvest@sender.test>\r\n")
            while True:
                guess = b"u%d" % (next(names) % RECIPIENTS) if next(names) % 10 == 1 else b"guess%d" % next(names)
                answer = await talk.said(b"RCPT TO:<%s@%s>\r\n" % (guess, DOMAIN.encode()))
                seen[f"harvester's answers {answer[:3].decode()}"] += 1
        seen["harvester's connections ended"] += 1
        await asyncio.sleep(0)


# --- the sender that behaves


class Sender:
    """Messages at a fixed rate; slow answers make no lower rate while one of its connections is free."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: asyncio.Queue[Conversation] = asyncio.Queue()
        self.ms: list[float] = []
        self.refused: Counter[str] = Counter()

    async def run(self, rate: float, count: int) -> None:
        """Send `count` messages."""
        for _ in range(SENDERS):
            self._idle.put_nowait(await Conversation.begun(self._port, GOOD))
        began = perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / rate - perf_counter()))
                tasks.create_task(self._send(number))
        while not self._idle.empty():
            talk = self._idle.get_nowait()
            await talk.said(b"QUIT\r\n")
            talk.writer.close()

    async def _send(self, number: int) -> None:
        began = perf_counter()  # waiting for a connection counts: so would a queue at an MTA
        talk = await self._idle.get()
        try:
            for command in self._commands(number):
                answer = await talk.said(command)
                if answer[:1] not in b"23":
                    self.refused[answer.decode().strip()] += 1
                    await talk.said(b"RSET\r\n")
                    break
            else:
                self.ms.append((perf_counter() - began) * 1000)
        except (OSError, TimeoutError) as error:
            self.refused[type(error).__name__] += 1
            talk = await Conversation.begun(self._port, GOOD)
        self._idle.put_nowait(talk)

    def _commands(self, number: int) -> Iterator[bytes]:
        yield b"MAIL FROM:<good@sender.test>\r\n"
        yield b"RCPT TO:<u%d@%s>\r\n" % (number % RECIPIENTS, DOMAIN.encode())
        yield b"DATA\r\n"
        yield BODY + b".\r\n"


async def measured(house: House, name: str, chosen: argparse.Namespace) -> tuple[str, ...]:
    """Return a row of the table."""
    house.check()
    sender, before, machine, began = Sender(house.port), usage.tree(house.pid), usage.machine(), perf_counter()
    await sender.run(chosen.rate, chosen.messages)
    after, took = usage.tree(house.pid), perf_counter() - began
    busy = (usage.machine() - machine) / took / usage.CORES * 100
    ms = sorted(sender.ms)
    ingress = next(part for part in after if "ingress" in part)
    cpu = (after[ingress].cpu - before[ingress].cpu) / took * 100
    for reply, times in sender.refused.items():
        print(f"  not accepted, {times} times: {reply}", file=sys.stderr)
    cells = [f"{percentile(ms, share):.1f}" for share in (0.5, 0.95, 0.99, 1.0)]
    lost = str(sum(sender.refused.values()))
    return (
        name,
        str(chosen.messages),
        lost,
        *cells,
        f"{cpu:.0f} %",
        f"{busy:.0f} %",
        f"{after[ingress].rss / 2**20:.0f}",
    )


async def main(chosen: argparse.Namespace) -> str:
    """Return the report."""
    rows: list[tuple[str, ...]] = []
    told: list[str] = []
    with tempfile.TemporaryDirectory(dir=chosen.data, prefix="gatepost-bench-") as folder:
        known = facts(Path(folder), [message(BODY)])
        async with (
            Sink() as sink,
            NameServer() as names,
            House(Path(folder), sink.port, names.address, config=CONFIG, environ=STRANGERS) as house,
        ):
            await Sender(house.port).run(chosen.rate, 40)  # warm-up
            for turn in range(chosen.repeat):
                print(f"run {turn + 1} of {chosen.repeat}", file=sys.stderr)
                rows.append(await measured(house, "alone", chosen))
                async with _attacked(house.port, chosen, told):
                    rows.append(await measured(house, "under attack", chosen))
    columns = (
        "setting",
        "sent",
        "not accepted",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "most",
        "ingress CPU",
        "machine busy",
        "ingress MB",
    )
    head = [f"    {name:<20}  {value}" for name, value in known.items()]
    attackers = f"{chosen.idle} idle, {chosen.slow} slow, {chosen.harvesters} harvester(s)"
    notes = [f"- attack: {attackers}; {chosen.rate:g} messages/s over {SENDERS} connections that behave"]
    notes += [f"- the attackers saw: {line}" for line in told]
    return "\n".join(["# bench/frontdoor", "", *head, "", *_table(columns, rows), "", *notes, ""])


@contextlib.asynccontextmanager
async def _attacked(port: int, chosen: argparse.Namespace, told: list[str]) -> AsyncIterator[None]:
    words = (f"--attack={port}", *(f"--{name}={getattr(chosen, name)}" for name in ("idle", "slow", "harvesters")))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.frontdoor", *words, stdout=asyncio.subprocess.PIPE
    )
    try:
        await asyncio.sleep(SETTLE)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
        told.append(out.decode().strip())


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in (columns, *rows)) for n in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *rows]
    return ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in lines]


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m bench.frontdoor", description=__doc__)
    options.add_argument("--rate", type=float, default=20.0, help="messages a second")
    options.add_argument("--messages", type=int, default=400, help="of each run")
    options.add_argument("--repeat", type=int, default=2)
    options.add_argument("--idle", type=int, default=500)
    options.add_argument("--slow", type=int, default=50)
    options.add_argument("--harvesters", type=int, default=1)
    options.add_argument("--data", type=Path, default=None, help="where the data folder is made; a real disk")
    options.add_argument("--attack", type=int, default=0, metavar="PORT", help=argparse.SUPPRESS)
    return options.parse_args(words)


if __name__ == "__main__":
    arguments = _arguments(sys.argv[1:])
    if arguments.attack:
        uvloop.run(attack(arguments.attack, arguments.idle, arguments.slow, arguments.harvesters))
        sys.exit(0)
    try:
        print(uvloop.run(main(arguments)))
    except NotUp as error:
        sys.exit(f"bench: {error}")
