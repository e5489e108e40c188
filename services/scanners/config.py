"""What the operator may set for the scanners: GATEPOST_<FIELD>."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from services.runtime.config import load

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class ScannersConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The engines, and what the worker processes may use."""

    store: str = "gatepost-data/objects"  # as `open_store` reads it
    scanners: tuple[str, ...] = ()  # those that this process runs; empty: all that there are
    clamd: str = ""  # host:port,… or the path of a socket
    clamd_max: Annotated[int, msgspec.Meta(ge=65_536)] = 26_214_400  # octets of one file; not above clamd's own limits
    clamd_oversize: Literal["hold", "rules"] = "hold"  # of a message with a longer file; rules: ours alone must do
    rspamd: str = ""  # http://host:port
    content_model: str = ""  # a file that `gatepost train` wrote; empty: the one that is shipped
    dns: str = ""  # ip:port,… ; empty: the system's
    arc_sealers: tuple[str, ...] = ()  # domains whose ARC seals explain why DMARC fails: mailing lists, forwarders
    url_lists: tuple[str, ...] = ()  # DNS lists of domains: [fresh:]zone=weight
    url_feeds: str = ""  # a folder of *.domains, *.urls and *.hashes
    yara_dir: str = ""  # a folder of *.yar and *.sha256
    scanner_workers: Annotated[int, msgspec.Meta(ge=0)] = 0  # processes; 0: one fewer than there are cores
    scanner_memory: Annotated[int, msgspec.Meta(ge=0)] = 2_147_483_648  # octets of address space a worker; 0: no limit
    scanner_cache: Annotated[int, msgspec.Meta(ge=0)] = 67_108_864  # octets of parsed mail that a worker keeps
    scanner_in_flight: Count = 32  # scans a worker has under way
    scanner_grace: Seconds = 5.0  # seconds past a scanner's time-out before its worker is killed
    scanner_wait: Seconds = 60.0  # seconds a scan may wait for a place in a worker

    @property
    def workers(self) -> int:
        """Return the number of worker processes."""
        return self.scanner_workers or max(1, (os.cpu_count() or 2) - 1)


def read(environ: Mapping[str, str]) -> ScannersConfig:
    """Return the configuration; raise ConfigError, one line that names the variable."""
    return load(ScannersConfig, environ)
