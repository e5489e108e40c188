"""The stored object: a message and everything needed to publish it again, in one piece.

    GATEPOST/1 <octets of the header>\\r\\n     one line
    {"id": …}                                  the Received event, JSON; spaces may follow it
    <the message, byte for byte>

The header comes first, so that a reader of the first kilobytes knows what the object is. A long message is stored while
it comes in, behind room left for its header: what the header doesn't need of that is spaces, which JSON allows.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from schemas import wire
from schemas.events import SUBJECT_LIMIT, Received
from services.core.errors import ObjectCorrupt
from services.core.heading import MESSAGE_ID_LIMIT

_MAGIC = b"GATEPOST/1 "
_PADDED = _MAGIC + b"%07d\r\n"
_PADDED_LENGTH = len(_PADDED % 0)
_ANY_SIZE = 10**15  # octets; no message is as long
_SLACK = (
    512  # octets by which a header may grow until its message has come in: a longer time stamp, more seen of a client
)
_SUBJECT = "\U0010ffff" * SUBJECT_LIMIT  # no subject takes more octets
_MESSAGE_ID = "\U0010ffff" * MESSAGE_ID_LIMIT
_HEAD_LIMIT = 4_194_304  # octets of a header; 1,000 recipients of 320 octets fit many times


def pack(received: Received) -> bytes:
    """Return the head of the object; the message's own octets follow it unchanged."""
    header = wire.encode(received)
    return b"%s%d\r\n%s" % (_MAGIC, len(header), header)


def pack_into(room: int, received: Received) -> bytes:
    """Return the head of the object, `room` octets long; longer where it doesn't fit."""
    header = wire.encode(received).ljust(room - _PADDED_LENGTH)
    return _PADDED % len(header) + header


def room_for(drafts: Iterable[Received]) -> int:
    """Return the octets to leave for the head of each of these, whatever its message will be."""
    unknown = {"size": _ANY_SIZE, "subject": _SUBJECT, "message_id": _MESSAGE_ID}
    longest = max(len(wire.encode(msgspec.structs.replace(draft, **unknown))) for draft in drafts)
    return _PADDED_LENGTH + longest + _SLACK


def unpack(data: bytes | memoryview) -> tuple[Received, memoryview]:
    """Return the Received event and a view of the message; raise ObjectCorrupt for anything that we did not write."""
    view = memoryview(data)
    line = bytes(view[:32])
    end = line.find(b"\r\n")
    digits = line[len(_MAGIC) : end]
    if not line.startswith(_MAGIC) or end < 0 or not digits.isdigit():
        raise ObjectCorrupt("no header line")
    start = end + 2
    length = int(digits)
    if length > _HEAD_LIMIT or start + length > len(view):
        raise ObjectCorrupt("header longer than the object")
    try:
        received = wire.decode(bytes(view[start : start + length]), Received)
    except wire.Undecodable as error:
        raise ObjectCorrupt(str(error)) from error
    message = view[start + length :]
    if len(message) != received.size:
        raise ObjectCorrupt(f"{len(message)} octets of message, {received.size} expected")
    return received, message


def object_key(customer: str, message: str) -> str:
    """Return the key of a message's object. The last characters of the id are random, so folders fill evenly."""
    return f"mail/{customer}/{message[-2:]}/{message}"


def kept_key(key: str) -> str:
    """Return where the copy of an object lies that a customer has chosen to keep for a while: never where mail is."""
    return f"kept/{key.removeprefix('mail/')}"
