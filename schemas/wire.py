"""Events to bytes and back: orjson on the wire, msgspec for the types."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, TypeVar

import msgspec
import orjson

from schemas.events import Event

E = TypeVar("E", bound=Event)


class Undecodable(ValueError):  # noqa: N818  # the name says what the bytes are
    """The bytes are not an event of the type asked for. The text names the field, never the value."""


class Unencodable(ValueError):  # noqa: N818  # as above
    """The event can't be written so that a reader gets it back: a lone surrogate, a number that JSON has not."""


def encode(event: Event) -> bytes:
    """Return the event as one JSON object; raise Unencodable when no reader would get the same event back.

    A field at its default is written too, so that a reader needs no table of defaults.
    """
    try:
        return orjson.dumps(event, default=_builtin)
    except orjson.JSONEncodeError as error:
        raise Unencodable(f"{type(event).__name__}: {error.__cause__ or error}") from error


def _builtin(value: object) -> dict[str, object]:
    if not isinstance(value, Event):
        raise TypeError(type(value).__name__)
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    for name, field in fields.items():
        if type(field) is float and not math.isfinite(field):  # orjson would write null, and no reader would take it
            raise ValueError(f"{type(value).__name__}.{name} is not a finite number")
    return fields


def decode(data: bytes, struct: type[E]) -> E:
    """Return the event in `data`; raise Undecodable when it is not one."""
    try:
        return _decoder(struct).decode(data)  # type: ignore[no-any-return]  # the cache loses the type variable
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:  # the last: nesting in an unknown field
        raise Undecodable(f"{struct.__name__}: {error}") from error


@cache
def _decoder(struct: type[Event]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(struct)
