"""What the operator may set for delivery. Each field is read from GATEPOST_<FIELD>."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec

from schemas.events import Host
from services.core.address import Address, parse
from services.core.errors import BadAddress, ConfigError
from services.core.relay_hosts import Tls, parse_host
from services.core.tree import Place, Scalar

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(gt=0)]
DEFAULT_POOL = "default"


class DeliveryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds. The limits follow RFC 5321 section 4.5.3.2 where it names one."""

    hostname: Annotated[
        str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")
    ]  # EHLO, authserv-id
    release_public_key: str = ""  # base64 of what releases are signed with; empty: releases aren't checked
    relay_starttls: bool = True  # use TLS where it can be had; a customer may ask for more (docs/delivery.md)
    relay_connect_seconds: Seconds = 10.0  # names resolved and TCP up
    relay_command_seconds: Seconds = 60.0  # each reply before the message, the greeting too
    relay_block_seconds: Seconds = 180.0  # each block of the message taken by the network
    relay_reply_seconds: Seconds = 600.0  # the reply after the final dot: ending early makes duplicates
    relay_connections: Count = 20  # to one destination at a time, when all goes well
    relay_connections_first: Count = 5  # with which a destination begins; each success allows one more
    relay_crowd: Count = 20  # new messages that may stand at one destination's gate; further ones join its queue
    relay_messages_per_connection: Count = 100
    relay_idle_seconds: Seconds = 30.0  # how long an unused connection is kept
    relay_age_seconds: Seconds = 300.0  # how long a connection is used
    relay_memory_bytes: Count = 268_435_456  # messages held in memory at a time; one destination has a quarter of it
    smarthost: str = ""  # HOST[:PORT] for what goes to others than customers' MTAs; empty: by MX
    relay_private_mx: bool = False  # notifications may go to private addresses; a sender's MX record names them
    relay_mx_port: Annotated[int, msgspec.Meta(gt=0, le=65535)] = 25  # of hosts that MX records name; for tests
    relay_send_eight_bit: bool = False  # to hosts without 8BITMIME as well; otherwise such mail is returned
    relay_ca_folder: str = ""  # where the files that customers pin (ca_file) lie
    own_names: tuple[str, ...] = ()  # of this installation beside `hostname`: MX records that name one lead back here
    # NAME=ADDRESS of each of this machine's addresses that mail by MX is sent from, by the class of its customer
    # (`outbound: pool:`); `default` is everybody's who has none. None at all: the system chooses.
    source_pools: tuple[str, ...] = ()
    # An address in a domain whose keys sign the reports on TLS (RFC 8460) that come from it; empty: none are sent.
    tls_report_from: str = ""
    dns: str = ""  # ip:port,… ; empty: the system's
    dns_validating: bool = False  # the resolver validates DNSSEC, and the way to it is trusted: DANE is used
    retry_first_seconds: Seconds = 60.0
    retry_most_seconds: Seconds = 1_800.0
    probe_first_seconds: Seconds = 60.0  # between connection attempts to a destination that is down
    probe_most_seconds: Seconds = 1_800.0
    relay_patience_seconds: Seconds = 3.0  # an attempt that takes longer goes on as deferred, so that others may commit
    queue_report_seconds: Seconds = 5.0  # between what `gatepost queue` is told
    notify_senders: bool = True  # who is vouched for is told of what can't be delivered
    relay_drain_seconds: Seconds = 5.0  # what a stop or a rebalance waits for attempts under way

    def __post_init__(self) -> None:
        self.smarthosts()
        self.sources("")
        self.reporter()

    def smarthosts(self) -> tuple[Host, ...]:
        """Return the smarthost, none when there is none."""
        return smarthosts(self.smarthost)

    def reporter(self) -> Address | None:
        """Return whom reports on TLS come from, None when none are sent; raise ValueError for what is no address."""
        try:
            return parse(self.tls_report_from) if self.tls_report_from else None
        except BadAddress as error:
            raise ValueError(f"GATEPOST_TLS_REPORT_FROM: {error}") from error

    def sources(self, pool: str) -> tuple[str, ...]:
        """Return the addresses of a pool, those of the default where there is none of that name; raise ValueError."""
        pools: dict[str, list[str]] = {}
        for each in self.source_pools:
            name, _, address = each.partition("=")
            try:
                found = str(ipaddress.ip_address(address.strip()))
            except ValueError:
                found = ""
            if not name.strip() or not found:
                raise ValueError(f"GATEPOST_SOURCE_POOLS: {each[:60]!r} is not NAME=ADDRESS")
            pools.setdefault(name.strip(), []).append(found)
        return tuple(pools.get(pool, pools.get(DEFAULT_POOL, [])))


def smarthosts(text: str) -> tuple[Host, ...]:
    """Return the host that GATEPOST_SMARTHOST names, as a list; raise ValueError for what is none."""
    if not text:
        return ()
    try:
        return (parse_host(Place("GATEPOST_SMARTHOST", "", Scalar(1, text)), Tls()),)
    except ConfigError as error:
        raise ValueError(str(error).partition(": ")[2]) from error
