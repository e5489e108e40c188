"""The quarantined object: a message that only its customer's key opens, and everything needed to hold it again.

    GATEPOST-SEALED/1 <octets of the header>\r\n     one line
    {"disposition": …}                               the Sealed struct, JSON
    <the message in encrypted chunks>

The header is not secret: it says what the events say, and no subject. So `gatepost recover` and a listing need no key.
It is authenticated with every chunk: a header that was changed opens nothing.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from schemas.events import Disposition
from services.core.errors import ObjectCorrupt

PREFIX: Final = "quarantine"  # of every key of a sealed object
RELEASED: Final = "released"  # of the plain copies that are on their way out
KEYS: Final = "keys"  # of the customers' wrapped keys

_MAGIC: Final = b"GATEPOST-SEALED/1 "
_HEAD_LIMIT: Final = 8_388_608  # octets of a header


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before the encrypted message."""

    disposition: Disposition  # only the branches that hold
    held_at: float
    expires_at: float
    key: str  # the id of the customer's key
    wrapped: bytes  # the object's own key, encrypted by the customer's
    nonce: bytes  # the part of each chunk's nonce that they share
    chunk: int  # octets of plain text in each chunk but the last


def pack_head(sealed: Sealed) -> bytes:
    """Return the head of the object; the chunks follow it."""
    header = msgspec.json.encode(sealed)
    return b"%s%d\r\n%s" % (_MAGIC, len(header), header)


def unpack_head(data: bytes | memoryview) -> tuple[Sealed, bytes, memoryview]:
    """Return the header, its octets, and a view of the chunks; raise ObjectCorrupt for what we did not write."""
    view = memoryview(data)
    line = bytes(view[:40])
    end = line.find(b"\r\n")
    digits = line[len(_MAGIC) : end]
    if not line.startswith(_MAGIC) or end < 0 or not digits.isdigit():
        raise ObjectCorrupt("no header line of a sealed object")
    start, length = end + 2, int(digits)
    if length > _HEAD_LIMIT or start + length > len(view):
        raise ObjectCorrupt("header longer than the object")
    try:
        sealed = msgspec.json.decode(view[start : start + length], type=Sealed)
    except msgspec.MsgspecError as error:
        raise ObjectCorrupt(str(error)) from error
    return sealed, bytes(view[: start + length]), view[start + length :]


def sealed_key(customer: str, message: str) -> str:
    """Return the key of a message's sealed object."""
    return f"{PREFIX}/{customer}/{message[-2:]}/{message}"


def released_prefix(customer: str, message: str) -> str:
    """Return what the keys of a message's released copies have in common."""
    return f"{RELEASED}/{customer}/{message[-2:]}/{message}"


def released_key(customer: str, message: str, command: str) -> str:
    """Return the key of the plain copy that a command has let go; whatever the command's id is made of."""
    return f"{released_prefix(customer, message)}/{hashlib.sha256(command.encode()).hexdigest()[:32]}"


def is_quarantines(key: str) -> bool:
    """Return whether the object under the key is the quarantine's to delete, and not the reaper's."""
    return key.partition("/")[0] in {PREFIX, RELEASED}
