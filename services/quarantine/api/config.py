"""The settings of the API and of the pages that digests lead to."""

from __future__ import annotations

from typing import Annotated

import msgspec

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_API_HOST, GATEPOST_API_PORT, GATEPOST_PAGES_HOST, GATEPOST_PAGES_PORT.

    The pages show what strangers wrote, so they have an origin of their own: a port at least, better a name.
    """

    api_host: str = "127.0.0.1"
    api_port: Port = 8480
    pages_host: str = "127.0.0.1"
    pages_port: Port = 8481
    api_failures: Annotated[int, msgspec.Meta(ge=1)] = 10  # wrong tokens from an address in a minute before it waits
    database: str = "sqlite:///gatepost-data/gatepost.db"

    def __post_init__(self) -> None:
        if (self.api_host, self.api_port) == (self.pages_host, self.pages_port):
            raise ValueError("API and pages need two ports: what is shown must not share the API's origin")
