"""The messages of a bench: real ones from a folder, as SMTP carries them, in an order that repeats."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

LARGEST = 200_000  # octets
SEED = 20_021


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message: as it is, and as it stands on the wire after DATA, final dot included (RFC 5321 section 4.5.2)."""

    content: bytes
    wire: bytes


def load(folder: Path) -> list[Message]:
    """Return the folder's messages, shuffled the same way each time; raise OSError for a folder that can't be read.

    A file over LARGEST octets, an empty one and one with a NUL are left out.
    """
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        raw = path.read_bytes()
        if raw and len(raw) <= LARGEST and b"\0" not in raw:
            found.append(message(raw))
    random.Random(SEED).shuffle(found)  # noqa: S311  # an order that repeats, not a secret
    return found


def message(raw: bytes) -> Message:
    """Return the message with CRLF line ends and without an mbox `From ` line."""
    text = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if text.startswith(b"From "):
        text = text.partition(b"\n")[2]
    if not text.endswith(b"\n"):
        text += b"\n"
    content = text.replace(b"\n", b"\r\n")
    return Message(content, stuffed(content) + b".\r\n")


def stuffed(content: bytes) -> bytes:
    """Return the content with its leading dots doubled."""
    return (b"." + content if content.startswith(b".") else content).replace(b"\r\n.", b"\r\n..")


def unstuffed(wire: bytes) -> bytes:
    """Return what `stuffed` was given."""
    return (wire[1:] if wire.startswith(b".") else wire).replace(b"\r\n.", b"\r\n")
