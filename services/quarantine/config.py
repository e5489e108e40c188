"""The settings of the quarantine."""

from __future__ import annotations

import msgspec


class QuarantineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_DATABASE, GATEPOST_SWEEP_SECONDS, GATEPOST_PAGES_URL and GATEPOST_HOSTNAME."""

    database: str = "sqlite:///gatepost-data/gatepost.db"  # or postgresql://user:password@host/name
    sweep_seconds: float = 60.0  # between looks for what has expired
    sweep_limit: int = 500  # rows that one look takes at a time
    recheck_seconds: float = 15.0  # after which a virus scanner that did not answer is asked again
    pages_url: str = ""  # where people reach the pages, such as https://quarantine.acme.example; empty: no digests
    hostname: str = "gatepost.internal"
    digest_limit: int = 500  # digests that one look sends
    link_days: float = 30.0  # for which a link of a digest opens its page

    def __post_init__(self) -> None:
        if self.sweep_seconds <= 0 or self.sweep_limit < 1:
            raise ValueError("sweep_seconds and sweep_limit are greater than 0")
        if self.pages_url and not self.pages_url.startswith(("http://", "https://")):
            raise ValueError("pages_url begins with https:// or http://")
