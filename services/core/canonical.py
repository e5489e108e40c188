"""The octets after DATA become the message: where it ends, what its lines are, and what is refused.

One reading, made once, before anything is stored; every later stage sees CRLF lines only.

- The end of data is CRLF "." CRLF and nothing else (RFC 5321 section 4.1.1.4).
- A dot alone on a line whose ends are anything but CRLF is an attempt at SMTP smuggling, and the message is refused: no
  client that stuffs its dots can send it.
- A lone LF, a lone CR and CR CR LF each become one CRLF. Real senders do send them, and every MTA on the way reads them
  in its own manner; a signer that follows RFC 6376 section 5.3 has signed the CRLF form. A well-formed message passes
  unchanged.
- Dots are unstuffed after CRLF only: a lone LF was no line end when the client stuffed.
- NUL is refused, and so is a line over the limit.
"""

from __future__ import annotations

import enum
import re
from typing import Final

LINE_LIMIT: Final = 65_536  # octets of a line with its CRLF; RFC 5321 asks for 1,000, real senders go far beyond

_END: Final = b"\r\n.\r\n"
_CRLF: Final = b"\r\n"
_CR: Final = 13
_SMUGGLED: Final = (b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r")
_LINE_END: Final = re.compile(rb"\r\r\n|\r\n|\r|\n")
_SEGMENT: Final = 1_048_576  # octets: growing one piece further would copy it, and hold up everything else


class Defect(enum.StrEnum):
    """Why a message's octets are refused. The values are the reasons of Rejection events."""

    SMUGGLING = "smuggling"
    NUL = "nul"
    LONG_LINE = "long-line"


class DataDecoder:
    """Takes the octets of one DATA command in pieces of any size; the result doesn't depend on how they were cut."""

    def __init__(self, *, line_limit: int = LINE_LIMIT) -> None:
        self.size = 0  # octets of the message so far, also of what was dropped
        self.defect: Defect | None = None
        self.normalised = False  # some line end was not CRLF
        self._parts: list[bytearray] = []
        self._dropped = False
        self._line = 0  # octets of the line that has not ended yet
        self._line_limit = line_limit
        self._tail = _CRLF  # the CRLF of the DATA command: two octets of context, then what is not decided yet

    def feed(self, data: bytes) -> bytes | None:
        """Take more octets. Returns what followed the end of data once that was there, and None until then."""
        work = self._tail + data
        end = work.find(_END)
        if end >= 0:
            self._take(work[: end + len(_CRLF)])
            return work[end + len(_END) :]
        cut = len(work) - len(_END) + 1
        for _ in range(2):  # a line end of up to three octets is not cut in two
            if cut > 0 and work[cut - 1] == _CR:
                cut -= 1
        if cut <= len(_CRLF):
            self._tail = work
        else:
            self._take(work[:cut])
            self._tail = work[cut - len(_CRLF) :]
        return None

    def drop(self) -> None:
        """Forget what was taken and what will be: only the end of data is still of interest."""
        self._dropped = True
        self._parts.clear()

    def parts(self) -> list[memoryview]:
        """Return the message, in pieces that follow each other; no octet is copied."""
        return [memoryview(part) for part in self._parts]

    def head(self, limit: int) -> bytes:
        """Return up to `limit` octets of the header section with the CRLF of its last line, without the empty line."""
        start = bytes(self._parts[0][:limit]) if self._parts else b""
        if start.startswith(_CRLF):
            return b""
        end = start.find(b"\r\n\r\n")
        return start if end < 0 else start[: end + len(_CRLF)]

    def _take(self, work: bytes) -> None:
        """Take `work` without its first two octets, which were taken before."""
        if any(dot in work for dot in _SMUGGLED):
            self.defect = self.defect or Defect.SMUGGLING
        piece = work.replace(b"\r\n.", _CRLF)[len(_CRLF) :]
        lines = piece.count(b"\n")
        if piece.count(b"\r") != lines or piece.count(_CRLF) != lines:
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
