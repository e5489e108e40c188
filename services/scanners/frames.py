"""What a pool and its workers say to each other: length-prefixed MessagePack, one struct a frame. No pickle."""

from __future__ import annotations

import asyncio
import struct
from typing import Final, TypeVar

import msgspec

from services.scanners.config import ScannersConfig
from services.scanners.contract import Finding

MAX_FRAME: Final = 4_194_304  # octets
_LENGTH: Final = struct.Struct("!I")
M = TypeVar("M")


class Setup(msgspec.Struct, frozen=True, tag=True):
    """First of all: what the worker is to be."""

    config: ScannersConfig
    names: tuple[str, ...]
    package: str
    strict: bool
    patience: float = 1.0  # by which every time-out is longer, for a worker that is held up on purpose


class Scan(msgspec.Struct, frozen=True, tag=True):
    """Scan the object under `key`, which holds message `id`, with one scanner."""

    number: int
    scanner: str
    id: str
    key: str
    briefing: bytes = b""  # as `briefing.decode` reads it


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The worker takes scans."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The worker can't be what the setup asks for. `config`: the operator's words are at fault."""

    text: str
    config: bool


class Done(msgspec.Struct, frozen=True, tag=True):
    """A scan's finding."""

    number: int
    finding: Finding


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A scan without a finding. `kind`: gone, unavailable (the store), corrupt, bug."""

    number: int
    kind: str
    text: str


ToWorker = Setup | Scan
FromWorker = Ready | Refused | Done | Failed
to_worker: Final = msgspec.msgpack.Decoder(ToWorker)
from_worker: Final = msgspec.msgpack.Decoder(FromWorker)
_encoder: Final = msgspec.msgpack.Encoder()


def frame(message: ToWorker | FromWorker) -> bytes:
    """Return the message as one frame."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


async def receive(reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[M]) -> M | None:
    """Return the next message, None when the other side is gone or talks nonsense: both end the connection."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            return None
        return decoder.decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError):
        return None
