"""Configuration from the environment: one frozen struct a service, read once, refused with one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, get_origin

import msgspec

from services.core.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)


def load(struct: type[S], environ: Mapping[str, str], prefix: str = "GATEPOST_") -> S:
    """Return the struct, each field read from `<prefix><FIELD>`; raise ConfigError, which names the variable.

    A field that isn't there, or is empty, has its default. A tuple is written with commas. The value is not in the
    error: it may be a secret.
    """
    fields = {}
    for field in msgspec.structs.fields(struct):
        name = prefix + field.name.upper()
        text = environ.get(name, "").strip()
        if text:
            fields[field.name] = _convert(name, text, field.type)
        elif field.required:
            raise ConfigError(f"{name}: must be set")
    try:
        return struct(**fields)
    except ValueError as error:  # the struct's own __post_init__: what no single field can tell
        raise ConfigError(f"{prefix}*: {error}") from error


def _convert(name: str, text: str, kind: object) -> object:
    listed = get_origin(kind) is tuple
    value = [item.strip() for item in text.split(",") if item.strip()] if listed else text
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {str(error).removesuffix('.')}") from error
