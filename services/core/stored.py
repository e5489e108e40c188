"""The stored object: a message and everything needed to publish it again, in one piece.

    GATEPOST/1 <octets of the header>\\r\\n     one line
    {"id": …}                                  the Received event, JSON
    <the message, byte for byte>

The header comes first, so that a reader of the first kilobytes knows what the object is.
"""

from __future__ import annotations

from schemas import wire
from schemas.events import Received
from services.core.errors import ObjectCorrupt

_MAGIC = b"GATEPOST/1 "
_HEAD_LIMIT = 4_194_304  # octets of a header; 1,000 recipients of 320 octets fit many times


def pack(received: Received) -> bytes:
    """Return the head of the object; the message's own octets follow it unchanged."""
    header = wire.encode(received)
    return b"%s%d\r\n%s" % (_MAGIC, len(header), header)


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
