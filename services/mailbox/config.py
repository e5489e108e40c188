"""What the operator may set for the mailbox: GATEPOST_MAILBOX_<FIELD>."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from services.runtime.config import load

PREFIX = "GATEPOST_MAILBOX_"


class MailboxConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the mailbox listens and keeps what it gets."""

    folder: str
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 2526  # 0: any free port
    hostname: str = "mailbox.gatepost.test"
    max_size: Annotated[int, msgspec.Meta(ge=1)] = 67_108_864  # octets; what ingress takes, and the headers we add
    sync: bool = True  # 250 only once a message survives a power loss
    write_timeout: Annotated[float, msgspec.Meta(gt=0)] = 60.0  # seconds
    shutdown_timeout: Annotated[float, msgspec.Meta(gt=0)] = 10.0  # seconds


def read(environ: Mapping[str, str]) -> MailboxConfig:
    """Return the configuration in the environment; raise ConfigError."""
    return load(MailboxConfig, environ, PREFIX)
