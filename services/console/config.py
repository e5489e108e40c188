"""The settings of the console."""

from __future__ import annotations

import ipaddress
import urllib.parse
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.console.licence import KEEP_DAYS, BadLicence, public_key
from services.trace.tally import BOUNDS

PREFIX: Final = "GATEPOST_CONSOLE_"
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class ConsoleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_CONSOLE_<FIELD>."""

    host: str = "127.0.0.1"
    port: Port = 8482
    url: str = "http://127.0.0.1:8482"  # where people reach it: every link begins with it
    mx: tuple[str, ...] = ()  # REGION:HOST, best first: what customers' MX records are to say; empty: our own name
    networks: tuple[str, ...] = ()  # REGION:ADDRESS or REGION:NETWORK that our mail comes from
    submission: tuple[str, ...] = ()  # REGION:HOST that customers send outgoing mail to; without: our own name
    submission_ports: tuple[Port, Port] = (587, 465)  # with STARTTLS; with TLS from the start
    spf: tuple[str, ...] = ()  # REGION:NAME that customers' SPF records include; without: networks, or our own name
    trial_days: Annotated[float, msgspec.Meta(gt=0, le=365)] = 30.0
    trial_hourly: Annotated[int, msgspec.Meta(ge=0)] = 0  # recipients that a trial has in an hour at one door; 0: any
    signup: bool = False  # anybody may begin a trial
    keep_days: Annotated[float, msgspec.Meta(ge=0)] = KEEP_DAYS  # that a lapsed customer's data stays
    purge: bool = False  # delete it then, for good
    private_relays: bool = False  # customers may name MTAs at private addresses
    promise_seconds: float = 5.0  # in which a message that nothing holds up is to be delivered
    private_directories: bool = False  # customers may name LDAP servers at private addresses
    private_issuers: bool = False  # customers may name providers of single sign-on at private addresses, without TLS
    operators_second_factor: bool = False  # operators get no further without one
    failures_by_client: Count = 30  # in a quarter of an hour, before an address waits
    failures_by_account: Count = 8  # in a quarter of an hour, before an account waits, whoever tries

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path not in {"", "/"}:
            raise ValueError("url is https://HOST[:PORT], without a path")
        if self.promise_seconds * 1_000 not in BOUNDS:
            raise ValueError(f"promise_seconds is one of {', '.join(f'{each / 1_000:g}' for each in BOUNDS)}")
        for each in (*self.mx, *self.networks, *self.submission, *self.spf):
            region, colon, name = each.partition(":")
            if not colon or not name or not region.isidentifier():
                raise ValueError(f"{each!r} is not REGION:HOST")

    @property
    def base(self) -> str:
        """The URL without a final slash."""
        return self.url.rstrip("/")

    @property
    def secure(self) -> bool:
        """Whether people come by TLS."""
        return self.url.startswith("https://")

    @property
    def host_name(self) -> str:
        """The name that people reach it by, empty for an address: passkeys need a name (WebAuthn section 5.1.2)."""
        name = urllib.parse.urlsplit(self.url).hostname or ""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name
        return ""

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region, in the order written."""
        return tuple(dict.fromkeys(each.partition(":")[0] for each in (*self.mx, *self.networks))) or ("default",)

    def mx_of(self, region: str, hostname: str) -> tuple[str, ...]:
        """Return the hosts of a region, best first."""
        found = tuple(each.partition(":")[2] for each in self.mx if each.partition(":")[0] == region)
        return found or (hostname,)

    def submission_of(self, region: str, hostname: str) -> str:
        """Return the host that a region's customers send outgoing mail to."""
        return next((each.partition(":")[2] for each in self.submission if each.partition(":")[0] == region), hostname)

    def spf_of(self, region: str, hostname: str) -> tuple[str, ...]:
        """Return the terms (RFC 7208) that let our mail pass."""
        names = tuple(each.partition(":")[2] for each in self.spf if each.partition(":")[0] == region)
        if names:
            return tuple(f"include:{name}" for name in names)
        networks = self.networks_of(region)
        return tuple(f"ip{6 if ':' in each else 4}:{each}" for each in networks) or (f"a:{hostname}",)

    def networks_of(self, region: str) -> tuple[str, ...]:
        """Return what a region's mail comes from."""
        return tuple(each.partition(":")[2] for each in self.networks if each.partition(":")[0] == region)


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_DATABASE, GATEPOST_HOSTNAME, GATEPOST_DNS, GATEPOST_LICENCE_PUBLIC_KEY."""

    database: str = "sqlite:///gatepost-data/gatepost.db"
    hostname: str = "gatepost.internal"
    dns: str = ""
    licence_public_key: str = ""  # base64; empty: no key is taken here

    def __post_init__(self) -> None:
        self.licences()

    def licences(self) -> Ed25519PublicKey | None:
        """Return the key that licences are checked with."""
        if not self.licence_public_key:
            return None
        try:
            return public_key(self.licence_public_key)
        except BadLicence as error:
            raise ValueError(f"licence_public_key: {error}") from error
