"""Where a running Gatepost is: `gatepost up` writes it into the data folder, the other commands read it there."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from schemas.catalog import PARTITIONS
from services.core.errors import ConfigError
from services.runtime import cut

DEFAULT_DATA = "gatepost-data"
FILE = "site.json"


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of one installation."""

    kafka: str
    store: str
    database: str
    smtp: str
    partitions: int = PARTITIONS
    mailbox: str = ""  # the folder of the built-in mailbox, empty when there is none
    given: tuple[str, ...] = ()  # the settings that its environment has: these win over its file of settings


def save(data: Path, site: Site) -> None:
    """Write the site into the data folder."""
    temporary = data / f"{FILE}.tmp"
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(site), indent=2) + b"\n")
    temporary.replace(data / FILE)


def find(data: Path) -> Site:
    """Return the site of the data folder; GATEPOST_KAFKA and its like win. Raises ConfigError with one line.

    From here on this process reads and writes the topics as the site has cut them.
    """
    environ = {
        name: os.environ[f"GATEPOST_{name.upper()}"]
        for name in ("kafka", "store", "database")
        if f"GATEPOST_{name.upper()}" in os.environ
    }
    try:
        written = read(data)
    except FileNotFoundError:
        if {"kafka", "store", "database"} <= environ.keys():
            cut.apply(os.environ)
            return Site(smtp="", kafka=environ["kafka"], store=environ["store"], database=environ["database"])
        raise ConfigError(
            f"{data}: no Gatepost has run here; start `gatepost up --data {data}`, or name another with --data"
        ) from None
    cut.apply({"GATEPOST_PARTITIONS": str(written.partitions), **os.environ})
    return msgspec.structs.replace(written, **environ)


def read(data: Path) -> Site:
    """Return what is written in the data folder; raise FileNotFoundError, or ConfigError for what can't be read."""
    try:
        return msgspec.json.decode((data / FILE).read_bytes(), type=Site)
    except FileNotFoundError:
        raise
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{data / FILE}: {error}") from error
