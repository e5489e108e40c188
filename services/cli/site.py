"""Where a running Gatepost is: `gatepost up` writes it into the data folder, the other commands read it there."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from services.core.errors import ConfigError

DEFAULT_DATA = "gatepost-data"
FILE = "site.json"


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of one installation."""

    kafka: str
    store: str
    database: str
    smtp: str
    mailbox: str = ""  # the folder of the built-in mailbox, empty when there is none


def save(data: Path, site: Site) -> None:
    """Write the site into the data folder."""
    temporary = data / f"{FILE}.tmp"
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(site), indent=2) + b"\n")
    temporary.replace(data / FILE)


def find(data: Path) -> Site:
    """Return the site of the data folder; GATEPOST_KAFKA and its like win. Raises ConfigError with one line."""
    environ = {
        name: os.environ[f"GATEPOST_{name.upper()}"]
        for name in ("kafka", "store", "database")
        if f"GATEPOST_{name.upper()}" in os.environ
    }
    try:
        written = msgspec.json.decode((data / FILE).read_bytes(), type=Site)
    except FileNotFoundError:
        if {"kafka", "store", "database"} <= environ.keys():
            return Site(smtp="", **environ)
        raise ConfigError(
            f"{data}: no Gatepost has run here; start `gatepost up --data {data}`, or name another with --data"
        ) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{data / FILE}: {error}") from error
    return msgspec.structs.replace(written, **environ)
