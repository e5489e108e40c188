"""Reads and plays a dialogue. Its lines:

# a comment, blank lines too
@setting value     a field of IngressConfig; also `@store down`, `@bus down`, `@scanners none`, `@cert yes`
@from address      where the client connects from (127.0.0.0/8); as long as `exempt` is not set, all of it is exempt
@door submission   the door for what goes out, instead of the MX
@dns name A text   a record that DNS has
@customer field v  a field of the customer acme, a list written with spaces
C: text            the client sends the text and CRLF
C| text            the client sends the octets, written with Python's escapes, and nothing else
C+ 300 text        the client sends the text 300 times, and nothing else
C* 300 text        the client sends the line 300 times, each with CRLF; `{n}` in it is its number
S: text            the next line of the server begins with the text
S~ regex           the next line of the server matches the regex as a whole
S* 300 text        each of the next 300 lines begins with the text
TLS                the client begins TLS
SHUT               the client sends no more, and still listens
CLOSED             the server closes the connection, saying nothing before
UPLOADS 0          so many messages are half stored in the end
LINES 7            the last message is stored with so many lines
STORED 1           so many objects are in the store in the end
PUBLISHED 1        so many messages were published in the end
REJECTED a b       Rejection events with these reasons were published in the end, in any order
BODY text          the last message is stored with these octets (Python's escapes)
FROM, TO text      the last message's reverse-path; recipients, with spaces between them
CLIENT text        the last message's client
BY name            who handed the last message in, and that it goes out
EVIDENCE codes     what the last message's event holds against its client
"""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path
from typing import Any

import msgspec

from schemas.events import Customer, Direction, Scanner
from services.core.stored import unpack
from services.ingress.config import PREFIX, read
from services.ingress.submission import config as submission
from services.ingress.submission.config import SubmissionConfig
from services.runtime.fakes_dns import FakeDns
from services.runtime.ports import free_ports
from tests.dialogs.door import Door, opened
from tests.eventually import eventually

WITHIN = 10.0  # seconds that any one line of the server may take


class Script:
    """One dialogue, from a file."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text(encoding="utf-8").splitlines()
        steps = [(number, line.rstrip("\n")) for number, line in enumerate(lines, 1)]
        steps = [(number, line) for number, line in steps if line.strip() and not line.startswith("#")]
        given = [line[1:].split(" ", 1) for _, line in steps if line.startswith("@")]
        self.settings = {name: value for name, value in given if name not in {"dns", "customer"}}
        self.zone = {(name, kind): (text,) for name, kind, text in (v.split(" ", 2) for k, v in given if k == "dns")}
        self.customer = dict(v.split(" ", 1) for k, v in given if k == "customer")
        self.steps = [(number, line) for number, line in steps if not line.startswith("@")]

    async def play(self, folder: Path, *, out: bool = False, sealed: bool = False) -> None:
        """Play it against an ingress of its own, or with `out` a submission; `folder` is for the certificate.

        `sealed`: at the submission's port where TLS comes first, so that EHLO offers AUTH beside the rest.
        """
        ip = self.settings.get("from", "127.0.0.8" if out else "127.0.0.1")
        out = out or self.settings.get("door") == "submission"
        names = {name for name in self.settings if hasattr(SubmissionConfig(), name) and name != "cert"}
        prefix = submission.PREFIX if out else PREFIX
        written = {prefix + name.upper(): self.settings[name] for name in names}
        config = submission.read(written) if out else read(written)
        changes: dict[str, Any] = {name: getattr(config, name) for name in names}
        if "cert" in self.settings:
            changes["cert_folder"] = str(folder)
        if sealed:
            (changes["tls_port"],) = free_ports(1)
            changes["cert_folder"] = str(folder)
        async with opened(changes=changes, dns=FakeDns(self.zone), out=out) as door:
            if self.customer:
                door.directory.apply(_changed(door.directory.customers()[0], self.customer))
            door.store.down = self.settings.get("store") == "down"
            door.bus.down = self.settings.get("bus") == "down"
            if self.settings.get("scanners") == "none":
                door.directory.remove(Scanner, "virus")
            player = Player(door._replace(port=changes["tls_port"]) if sealed else door, sealed=sealed)
            await player.connect(ip)
            try:
                for number, line in self.steps:
                    try:
                        await player.step(line)
                    except AssertionError as error:
                        raise AssertionError(f"line {number}: {line}: {error}") from error
            finally:
                await player.close()


class Player:
    """The client's side of one connection, and the look behind the server."""

    def __init__(self, door: Door, *, sealed: bool = False) -> None:
        self._door = door
        self._sealed = sealed
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self, ip: str) -> None:
        tls = _trusting() if self._sealed else None
        where = ("127.0.0.1", self._door.port)
        self._reader, self._writer = await asyncio.open_connection(*where, local_addr=(ip, 0), ssl=tls)

    async def close(self) -> None:
        self._writer.transport.abort()

    async def step(self, line: str) -> None:  # noqa: C901  # one case for each kind of line
        word, _, rest = line.partition(" ")
        match word:
            case "C:":
                self._writer.write(rest.encode() + b"\r\n")
            case "C|":
                self._writer.write(octets(rest))
            case "C*":
                times, _, text = rest.partition(" ")
                text += "\r\n"
                self._writer.write("".join(text.replace("{n}", str(n)) for n in range(int(times))).encode())
            case "C+":
                times, _, text = rest.partition(" ")
                self._writer.write(text.encode() * int(times))
            case "S:":
                got = await self._line()
                assert got.startswith(rest), f"the server said {got!r}"
            case "S~":
                got = await self._line()
                assert re.fullmatch(rest, got), f"the server said {got!r}"
            case "S*":
                times, _, text = rest.partition(" ")
                offers = int(times) + (self._sealed and rest == "7 250")
                for _ in range(offers):
                    await self.step(f"S: {text}")
            case "TLS":
                await self._start_tls()
            case "SHUT":
                self._writer.write_eof()
            case "CLOSED":
                got = await self._line()
                assert got == "", f"the server said {got!r}"
            case _:
                await self._look(word, rest)

    async def _line(self) -> str:
        async with asyncio.timeout(WITHIN):
            try:
                line = await self._reader.readline()
            except ConnectionResetError:
                return ""
        assert not line or line.endswith(b"\r\n"), f"the server said {line!r}"
        return line.decode().removesuffix("\r\n")

    async def _start_tls(self) -> None:
        async with asyncio.timeout(WITHIN):
            await self._writer.start_tls(_trusting())

    async def _look(self, word: str, rest: str) -> None:  # one case for each kind of line
        door = self._door
        match word:
            case "STORED":
                await eventually(lambda: len(door.store.objects) == int(rest))
            case "UPLOADS":
                await eventually(lambda: len(door.store.uploads) == int(rest))
            case "LINES":
                last = max(door.received(), key=lambda event: event.id)
                _, message = unpack(door.store.objects[last.key])
                assert bytes(message).count(b"\r\n") == int(rest), bytes(message).count(b"\r\n")
            case "PUBLISHED":
                await eventually(lambda: len(door.received()) == int(rest))
            case "REJECTED":
                await eventually(lambda: sorted(e.reason for e in door.rejections()) == sorted(rest.split()))
            case _:
                self._compare(word, rest)

    def _compare(self, word: str, rest: str) -> None:
        """Look at the last message."""
        door = self._door
        last = max(door.received(), key=lambda event: event.received_at)
        match word:
            case "BODY":
                received, message = unpack(door.store.objects[last.key])
                assert received == last
                assert bytes(message) == octets(rest), bytes(message)
            case "EVIDENCE":
                assert [piece.code for piece in last.front] == rest.split(), last.front
            case "CLIENT":
                assert last.envelope.client_ip == rest, last.envelope.client_ip
            case "BY":
                assert (last.direction, last.submitter) == (Direction.OUTBOUND, rest), last
            case "FROM":
                assert last.envelope.reverse_path == rest, last.envelope.reverse_path
            case "TO":
                assert last.envelope.recipients == tuple(rest.split()), last.envelope.recipients
            case _:
                raise ValueError(f"no such step: {word}")


def _changed(customer: Customer, fields: dict[str, str]) -> Customer:
    texts = {name: tuple(text.split()) if name in {"allow", "block"} else text for name, text in fields.items()}
    return msgspec.convert({**msgspec.to_builtins(customer), **texts}, Customer, strict=False)


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def octets(text: str) -> bytes:
    """Return what the text means with Python's escapes."""
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")
