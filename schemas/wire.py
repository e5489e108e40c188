"""Events to bytes and back: orjson on the wire, msgspec for the types."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec
import orjson

from schemas.events import Event

E = TypeVar("E", bound=Event)


class Undecodable(ValueError):
    """The bytes are not an event of the type asked for. The text names the field, never the value."""


def encode(event: Event) -> bytes:
    """Return the event as one JSON object. A field at its default is written too, so that a reader needs no table of defaults."""
    return orjson.dumps(event, default=_builtin)


def _builtin(value: object) -> Any:
    if isinstance(value, Event):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    raise TypeError(type(value).__name__)


def decode(data: bytes, struct: type[E]) -> E:
    """Return the event in `data`; raise Undecodable when it is not one."""
    try:
        return _decoder(struct).decode(data)  # type: ignore[no-any-return]  # the cache loses the type variable
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Undecodable(f"{struct.__name__}: {error}") from error


@cache
def _decoder(struct: type[Event]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(struct)
