"""Encrypts and opens: AES-256-GCM, a key for each object, wrapped by its customer's. No I/O.

A message is cut into chunks, each with its number and whether it is the last in its nonce (the STREAM construction of
Hoang, Reyhanitabar, Rogaway and Vizár): chunks can't be dropped, swapped or cut off unseen. The header of the object is
authenticated with each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.core.errors import ObjectCorrupt

SHARED: Final = 7  # octets of a chunk's nonce that are the object's; 4 count, 1 says which is the last
TAG: Final = 16
CHUNK: Final = 262_144  # octets of plain text; encrypting one takes about 0.1 ms


def encrypted(
    key: bytes, shared: bytes, head: bytes, message: bytes | memoryview, chunk: int = CHUNK
) -> Iterator[bytes]:
    """Yield the chunks of the message; an empty message has one."""
    cipher, view = AESGCM(key), memoryview(message)
    count = max(1, -(-len(view) // chunk))
    for number in range(count):
        piece = view[number * chunk : (number + 1) * chunk]
        yield cipher.encrypt(_nonce(shared, number, last=number == count - 1), piece, head)


def decrypted(key: bytes, shared: bytes, head: bytes, chunks: memoryview, chunk: int) -> Iterator[bytes]:
    """Yield the pieces of the message; raise ObjectCorrupt as soon as one is not what was written there."""
    if chunk < 1 or len(shared) != SHARED:
        raise ObjectCorrupt("a sealed object whose chunks have no size")
    cipher, step = AESGCM(key), chunk + TAG
    count = max(1, -(-len(chunks) // step))
    for number in range(count):
        piece = chunks[number * step : (number + 1) * step]
        try:
            yield cipher.decrypt(_nonce(shared, number, last=number == count - 1), piece, head)
        except (InvalidTag, ValueError) as error:
            raise ObjectCorrupt(f"chunk {number} of a sealed object was changed") from error


def _nonce(shared: bytes, number: int, *, last: bool) -> bytes:
    return shared + number.to_bytes(4) + (b"\1" if last else b"\0")
