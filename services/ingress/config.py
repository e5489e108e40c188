"""What the operator may set for ingress: GATEPOST_INGRESS_<FIELD>."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from services.core.address import parse
from services.core.canonical import LINE_LIMIT
from services.core.errors import BadAddress
from services.core.networks import normal
from services.runtime.config import load

PREFIX = "GATEPOST_INGRESS_"

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class IngressConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit keeps one client from taking what the others need; the defaults suit a process with 1 GB."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 2525  # 0: any free port
    hostname: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?$")] = (
        "mx.gatepost.test"
    )

    postmaster: str = ""  # whose mail `RCPT TO:<postmaster>` is: an address of a customer; see decide.postmaster
    cert: str = ""  # PEM with the chain; together with `key`
    key: str = ""
    sni_folder: str = ""  # x.crt and x.key for clients that ask for one of the names in x.crt; read again on a change
    cert_folder: str = ""  # where our own certificate is made and kept when there is no `cert`; empty: no STARTTLS

    max_size: Count = 52_428_800  # octets of a message; a customer may have less
    spool_over: Count = 262_144  # octets; a longer message goes to the disk while it comes in
    max_bytes_in_flight: Count = 67_108_864  # octets of messages held in memory; beyond, all go to the disk
    max_spooled: Count = 8_589_934_592  # octets of messages on the disk that have not ended yet
    max_connections: Count = 1_000
    max_connections_per_address: Count = 50
    max_recipients: Annotated[int, msgspec.Meta(ge=100)] = 1_000  # a message; RFC 5321 section 4.5.3.1.8 asks for 100
    max_errors: Count = 20  # a session
    max_refused_recipients: Count = 100  # a session
    max_idle_commands: Count = 100  # NOOP, RSET, VRFY, EHLO since the last MAIL; each further one is an error
    max_command: Annotated[int, msgspec.Meta(ge=1024)] = 2_048  # octets of a command line
    max_line: Annotated[int, msgspec.Meta(ge=1000)] = LINE_LIMIT  # octets of a line of a message
    max_received: Count = 50  # Received lines; more is a loop
    max_passes: Count = 3  # times that a message may come through here; forwarding between customers is no loop

    # Rates; a window slides over one minute but for harvesting
    max_connections_per_network: Count = 150  # of a /24 or /64
    max_connections_per_customer: Count = 400  # that have a recipient of the customer
    max_new: Count = 6_000  # connections a minute, of all clients
    max_new_per_address: Count = 120
    max_new_per_network: Count = 600
    max_messages_per_address: Count = 2_000
    max_messages_per_network: Count = 6_000
    max_recipients_per_address: Count = 4_000
    max_per_recipient: Count = 200
    max_recipients_per_customer: Count = 20_000
    max_errors_per_minute: Count = 100  # of an address
    harvest_window: Seconds = 600.0
    harvest_per_address: Count = 25  # unknown recipients within the window
    harvest_per_network: Count = 60
    harvest_per_sender: Count = 60
    harvest_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.25  # of all that were asked for

    # Before receipt
    exempt: tuple[str, ...] = ("127.0.0.0/8", "::1")  # neither rates nor reputation: machines of our own
    proxy_from: tuple[str, ...] = ()  # load balancers, whose PROXY header is required and believed
    proxy_timeout: Seconds = 5.0
    dnsbl: tuple[str, ...] = ()  # zone=weight; a negative weight speaks for the client
    reverse_dns: bool = True
    reputation_timeout: Seconds = 2.0  # for all questions together; what isn't answered by then is unknown
    block_file: str = ""  # an address or network a line; read again when it changes
    allow_file: str = ""
    refuse_score: float = 5.0
    slow_score: float = 3.0
    tarpit: Annotated[float, msgspec.Meta(ge=0, le=30)] = 2.0  # seconds before an answer to who has a bad name
    greet_pause: Annotated[float, msgspec.Meta(ge=0, le=30)] = 2.0  # for addresses that haven't shown patience before
    bounce_score: float = 3.0  # of a bounce that answers nothing, where the customer signs its reverse-paths
    greylist_delay: Annotated[float, msgspec.Meta(ge=0)] = 0.0  # seconds; 0: no greylisting
    contact: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{0,200}$")] = ""  # where refused senders can ask: a URL

    idle_when_full: Seconds = 20.0  # without a command, after which a client makes room when all places are taken
    command_timeout: Seconds = 300.0  # RFC 5321 section 4.5.3.2.7
    data_timeout: Seconds = 600.0  # from 354 to the final dot
    session_timeout: Seconds = 3_600.0
    handshake_timeout: Seconds = 30.0
    store_timeout: Seconds = 5.0
    publish_timeout: Seconds = 8.0
    accept_timeout: Seconds = 9.5  # store and publish together: the client hears 451 then
    shutdown_timeout: Seconds = 15.0

    def __post_init__(self) -> None:
        if bool(self.cert) != bool(self.key):
            raise ValueError("CERT and KEY go together")
        if self.postmaster:
            try:
                parse(self.postmaster)
            except BadAddress as error:
                raise ValueError(f"POSTMASTER: {error}") from error
        for name, items in (("EXEMPT", self.exempt), ("PROXY_FROM", self.proxy_from)):
            for item in items:
                try:
                    normal(item)
                except ValueError as error:
                    raise ValueError(f"{name}: {item[:80]!r} is neither an address nor a network") from error


def read(environ: Mapping[str, str]) -> IngressConfig:
    """Return the configuration in the environment; raise ConfigError."""
    return load(IngressConfig, environ, PREFIX)
