"""The settings of the users' console."""

from __future__ import annotations

import urllib.parse
from typing import Annotated, Final

import msgspec

PREFIX: Final = "GATEPOST_USERS_"
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class UsersConfig(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_USERS_<FIELD>."""

    host: str = "127.0.0.1"
    port: Port = 8483
    url: str = "http://127.0.0.1:8483"  # where users reach it: every link begins with it
    api: str = "http://127.0.0.1:8480"  # the quarantine's API, as this process reaches it
    directory: str = "http://127.0.0.1:8484"  # the directory service, as this process and the console's reach it
    failures_by_client: Count = 30  # in a quarter of an hour, before an address waits: an office may have one for all
    failures_by_account: Count = 8  # in a quarter of an hour, before a user waits, whoever tries
    private_issuers: bool = False  # customers' OpenID providers may be at private addresses, and without TLS
    failure_seconds: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.0  # that a sign-in which fails takes at least

    def __post_init__(self) -> None:
        for name in ("url", "api", "directory"):
            parts = urllib.parse.urlsplit(getattr(self, name))
            if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path not in {"", "/"}:
                raise ValueError(f"{name} is https://HOST[:PORT], without a path")

    @property
    def base(self) -> str:
        """The URL without a final slash."""
        return self.url.rstrip("/")

    @property
    def secure(self) -> bool:
        """Whether people come by TLS."""
        return self.url.startswith("https://")
