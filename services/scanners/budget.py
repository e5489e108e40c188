"""What may be spent on the contents of one message, and what was met on the way: shared by all who look at it."""

from __future__ import annotations

import dataclasses
import time
from typing import Final, Protocol

from services.scanners.text import clean

MAX_DEPTH: Final = 6  # archives in archives
MAX_MEMBERS: Final = 4000  # of all archives of a message
MAX_OCTETS: Final = 104_857_600  # unpacked, of all archives of a message
MAX_RATIO: Final = 200  # unpacked to packed, of a member of more than RATIO_FROM octets
RATIO_FROM: Final = 1_048_576
MAX_SECONDS: Final = 8.0  # of CPU for unpacking all of a message
_CHUNK: Final = 262_144


class LimitMet(Exception):  # noqa: N818  # no error: the message asks for more than it may have
    """Nothing more of this message is unpacked; the budget says why."""


class Readable(Protocol):
    """A member that is being unpacked."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` octets, none at the end."""
        ...


@dataclasses.dataclass(slots=True)
class Budget:
    """What is left for one message; `met`: code → text for a person."""

    members: int = MAX_MEMBERS
    octets: int = MAX_OCTETS
    seconds: float = MAX_SECONDS
    met: dict[str, str] = dataclasses.field(default_factory=dict)
    _since: float = 0.0

    def note(self, code: str, text: str) -> None:
        """Remember the first that was met of a kind."""
        self.met.setdefault(code, clean(text))

    def member(self, shown: str) -> None:
        """Spend one member; raise LimitMet when there is none left."""
        self.members -= 1
        if self.members < 0:
            self.stop(f"{shown}: more than {MAX_MEMBERS} files in all")

    def start(self) -> None:
        """Let the time run: unpacking goes on."""
        self._since = time.process_time()

    def pause(self) -> None:
        """Let the time stand: others have their turn."""
        self.seconds -= time.process_time() - self._since

    @property
    def left(self) -> float:
        """Return the seconds of CPU that are left."""
        return self.seconds - (time.process_time() - self._since)

    def check(self, shown: str) -> None:
        """Raise LimitMet when time is up."""
        if self.left < 0:
            self.stop(f"{shown}: more than {MAX_SECONDS:.0f} s of unpacking")

    def stop(self, text: str) -> None:
        """Note the limit, and raise LimitMet."""
        self.note("ARCHIVE_LIMIT", text)
        raise LimitMet

    def read(self, file: Readable, shown: str, packed: int) -> bytes:
        """Return what the file holds, cut where a limit is met and noted. `packed`: octets that it was packed in.

        Raises LimitMet when nothing is left for the whole message.
        """
        most = max(RATIO_FROM, packed * MAX_RATIO)
        pieces: list[bytes] = []
        held = 0
        while True:
            self.check(shown)
            piece = file.read(_CHUNK)
            if not piece:
                break
            held += len(piece)
            self.octets -= len(piece)
            if self.octets < 0:
                self.stop(f"{shown}: more than {MAX_OCTETS} octets in all")
            pieces.append(piece)
            if held > most:
                self.note("ARCHIVE_LIMIT", f"{shown} unpacks to more than {most} octets")
                break
        return b"".join(pieces)

    def take(self, data: bytes, shown: str) -> bytes:
        """Return octets that were unpacked already, and spend them; raise LimitMet when they are too many."""
        self.check(shown)
        self.octets -= len(data)
        if self.octets < 0:
            self.stop(f"{shown}: more than {MAX_OCTETS} octets in all")
        return data
