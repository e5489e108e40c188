"""The octets after DATA or BDAT become the message: where it ends, what its lines are, and what is refused.

One reading, made once, before anything is stored; every later stage sees CRLF lines only.

- The end of data is CRLF "." CRLF and nothing else (RFC 5321 section 4.1.1.4).
- A dot alone on a line whose ends are anything but CRLF is an attempt at SMTP smuggling, and the message is refused: no
  client that stuffs its dots can send it.
- A lone LF, a lone CR and CR CR LF each become one CRLF. Real senders do send them, and every MTA on the way reads them
  in its own manner; a signer that follows RFC 6376 section 5.3 has signed the CRLF form. A well-formed message passes
  unchanged.
- Dots are unstuffed after CRLF only: a lone LF was no line end when the client stuffed.
- BDAT (RFC 3030) counts its octets, so nothing ends a message early and no dot is stuffed; all else is as above.
- NUL is refused, and so is a line over the limit.
"""

from __future__ import annotations

import enum
import re
from typing import Final

HEAD_LIMIT: Final = 262_144  # octets of the header section that are kept at hand
LINE_LIMIT: Final = 65_536  # octets of a line with its CRLF; RFC 5321 asks for 1,000, real senders go far beyond

_END: Final = b"\r\n.\r\n"
_CRLF: Final = b"\r\n"
_CONTEXT: Final = b"\n\r\n"
_CR: Final = 13
_SMUGGLED: Final = (b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r")
_LINE_END: Final = re.compile(rb"\r\r\n|\r\n|\r|\n")
_LONE_DOT: Final = re.compile(rb"(?:(?<!\r)\n|\r)\.[\r\n]|\n\.(?:\n|\r(?!\n))")  # but for CRLF . CRLF
_SEGMENT: Final = 1_048_576  # octets: growing one piece further would copy it, and hold up everything else


class Defect(enum.StrEnum):
    """Why a message's octets are refused. The values are the reasons of Rejection events."""

    SMUGGLING = "smuggling"
    NUL = "nul"
    LONG_LINE = "long-line"


class Decoder:
    """A message while it comes in. What it is made of is taken out once or in turns."""

    def __init__(self, *, line_limit: int = LINE_LIMIT) -> None:
        self.size = 0  # octets of the message so far, also of what was dropped
        self.held = 0  # octets of it that are here
        self.defect: Defect | None = None
        self.normalised = False  # some line end was not CRLF
        self._parts: list[bytearray] = []
        self._dropped = False
        self._head: bytearray | None = None  # the begin of what was taken; None while nothing was
        self._line = 0  # octets of the line that has not ended yet
        self._line_limit = line_limit

    def drop(self) -> None:
        """Forget what is held and what will come: only the end of the message is still of interest."""
        self._dropped = True
        self._parts.clear()
        self.held = 0

    def parts(self) -> list[memoryview]:
        """Return what is held, in pieces that follow each other; no octet is copied."""
        return [memoryview(part) for part in self._parts]

    def take(self) -> list[memoryview]:
        """Return what is held, and hold it no longer; only what `head` needs is copied."""
        parts = self.parts()
        self._parts = []
        self.held = 0
        if self._head is None:
            self._head = bytearray()
        for part in parts:
            if len(self._head) < HEAD_LIMIT and _header(self._head) is None:
                self._head += part[: HEAD_LIMIT - len(self._head)]
        return parts

    def head(self, limit: int) -> bytes:
        """Return up to `limit` octets of the header section with the CRLF of its last line, without the empty line."""
        start = self._head if self._head is not None else self._parts[0] if self._parts else b""
        start = start[:limit]
        end = _header(start)
        return bytes(start if end is None else start[:end])

    def _keep(self, piece: bytes, *, regular: bool) -> None:
        """Take octets with the line ends that the client gave them, if `regular` CRLF; none lies in two pieces."""
        if not regular and not _regular(piece):
            piece = _LINE_END.sub(_CRLF, piece)
            self.normalised = True
        if b"\0" in piece:
            self.defect = self.defect or Defect.NUL
        if self._too_long(piece):
            self.defect = self.defect or Defect.LONG_LINE
        self.size += len(piece)
        if not self._dropped:
            if not self._parts or len(self._parts[-1]) >= _SEGMENT:
                self._parts.append(bytearray())
            self._parts[-1] += piece
            self.held += len(piece)

    def _too_long(self, piece: bytes) -> bool:
        """Return whether a line that ends or goes on in `piece` is over the limit."""
        start = 0
        room = self._line_limit - self._line
        while len(piece) - start > room:
            last = piece.rfind(b"\n", start, start + room)
            if last < 0:
                self._line += len(piece)
                return True
            start = last + 1
            room = self._line_limit
        last = piece.rfind(b"\n", start)
        if last >= 0:
            self._line = len(piece) - last - 1
        elif start > 0:
            self._line = len(piece) - start
        else:
            self._line += len(piece)
        return False


def _regular(octets: bytes) -> bool:
    """Return whether every CR and LF is part of a CRLF: then no lone dot is anything but CRLF . CRLF."""
    lines = octets.count(b"\n")
    return octets.count(b"\r") == lines == octets.count(_CRLF)


def _header(start: bytes | bytearray) -> int | None:
    """Return where the header section ends, after the CRLF of its last line; None when that is not in `start`."""
    if start.startswith(_CRLF):
        return 0
    end = start.find(b"\r\n\r\n")
    return None if end < 0 else end + len(_CRLF)


class DataDecoder(Decoder):
    """Takes the octets of one DATA command in pieces of any size; the result doesn't depend on how they were cut."""

    def __init__(self, *, line_limit: int = LINE_LIMIT) -> None:
        super().__init__(line_limit=line_limit)
        self._tail = _CRLF  # the CRLF of the DATA command: two octets of context, then what is not decided yet

    def feed(self, data: bytes) -> bytes | None:
        """Take more octets. Returns what followed the end of data once that was there, and None until then."""
        work = self._tail + data
        end = work.find(_END)
        if end >= 0:
            self._unstuff(work[: end + len(_CRLF)])
            return work[end + len(_END) :]
        cut = len(work) - len(_END) + 1
        for _ in range(2):  # a line end of up to three octets is not cut in two
            if cut > 0 and work[cut - 1] == _CR:
                cut -= 1
        if cut <= len(_CRLF):
            self._tail = work
        else:
            self._unstuff(work[:cut])
            self._tail = work[cut - len(_CRLF) :]
        return None

    def _unstuff(self, work: bytes) -> None:
        """Take `work` without its first two octets, which were taken before."""
        regular = _regular(work)
        if not regular and any(dot in work for dot in _SMUGGLED):
            self.defect = self.defect or Defect.SMUGGLING
        self._keep(work.replace(b"\r\n.", _CRLF)[len(_CRLF) :], regular=regular)


class ChunkDecoder(Decoder):
    """Takes the octets of BDAT commands in pieces of any size; the result doesn't depend on how they were cut."""

    def __init__(self, *, line_limit: int = LINE_LIMIT) -> None:
        super().__init__(line_limit=line_limit)
        self._tail = _CONTEXT  # as much context as a lone dot needs, then what is not decided yet

    def feed(self, data: bytes) -> None:
        """Take more octets."""
        work = self._tail + data
        cut = len(work)
        for _ in range(2):  # a line end of up to three octets is not cut in two
            if work[cut - 1] == _CR:
                cut -= 1
        if cut <= len(_CONTEXT):
            self._tail = work
        else:
            self._check_and_keep(work[:cut])
            self._tail = work[cut - len(_CONTEXT) :]

    def end(self) -> None:
        """Take what was not decided yet: nothing follows."""
        self._check_and_keep(self._tail)
        self._tail = _CONTEXT

    def _check_and_keep(self, work: bytes) -> None:
        regular = _regular(work)
        if not regular and _LONE_DOT.search(work):
            self.defect = self.defect or Defect.SMUGGLING
        self._keep(work[len(_CONTEXT) :], regular=regular)
