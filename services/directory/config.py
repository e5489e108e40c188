"""What the operator may set for reading directories. Each field is read from GATEPOST_<FIELD>."""

from __future__ import annotations

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(gt=0)]


class DirectoryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds."""

    directory_secrets: str = ""  # the folder that password_file and ca_file of the customers file are looked up in
    directory_link_local: bool = False  # take servers at link-local addresses, where clouds keep their metadata
    directory_connect_seconds: Seconds = 10.0  # names resolved, TCP and TLS up, bound
    directory_answer_seconds: Seconds = 30.0  # between two messages of the server
    directory_read_seconds: Seconds = 600.0  # for all that one sync reads
    directory_page: Count = 500  # entries asked for at a time (RFC 2696); Active Directory gives 1,000 at most
    directory_entries: Count = 500_000  # of one directory; more than that is taken for a mistake in base or filter
    directory_retry_seconds: Seconds = 60.0  # until a sync that failed is tried again
    directory_tick_seconds: Seconds = 1.0  # how often it is looked what is due
    directory_host: str = "127.0.0.1"  # where the consoles ask it whose a password is, with GATEPOST_USERS_KEY
    directory_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8484
