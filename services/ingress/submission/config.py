"""What the operator may set for submission: GATEPOST_SUBMISSION_<FIELD>, the fields of ingress and a few more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from services.ingress import config as ingress
from services.ingress.config import Count, IngressConfig, Seconds
from services.runtime.config import load

PREFIX: Final = "GATEPOST_SUBMISSION_"

# One machine has one name and one certificate: the MX's, where submission is given none of its own.
_SHARED: Final = ("HOSTNAME", "CERT", "KEY", "SNI_FOLDER", "CERT_FOLDER", "PROXY_FROM", "CONTACT")


class SubmissionConfig(IngressConfig, frozen=True, kw_only=True):
    """The defaults differ where customers' MTAs differ from strangers."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 2587  # 0: any free port
    tls_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0  # where TLS comes first (RFC 8314); 0: nowhere
    max_recipients: Annotated[int, msgspec.Meta(ge=100)] = 100  # a message; it is stored once for each of their domains
    exempt: tuple[str, ...] = ()
    reverse_dns: bool = False
    greet_pause: Annotated[float, msgspec.Meta(ge=0, le=30)] = 0.0
    max_new_per_address: Count = 600  # connections a minute

    address_messages: Count = 1_000  # of one client address within the window
    address_window: Seconds = 300.0
    sender_messages: Count = 500  # of one reverse-path within the window
    sender_window: Seconds = 600.0
    customer_messages: Count = 10_000  # of one customer within the window
    customer_window: Seconds = 600.0
    auth_failures: Count = 20  # of one client address within the window; further ones are not looked at
    auth_window: Seconds = 600.0
    auth_at_once: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2  # passwords that are checked at a time, 20 MB each


def read(environ: Mapping[str, str]) -> SubmissionConfig:
    """Return the configuration in the environment; raise ConfigError."""
    shared = {PREFIX + name: environ[ingress.PREFIX + name] for name in _SHARED if environ.get(ingress.PREFIX + name)}
    own = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value}
    if own.keys() & {PREFIX + "CERT", PREFIX + "SNI_FOLDER", PREFIX + "CERT_FOLDER"}:
        for name in ("CERT", "KEY", "SNI_FOLDER", "CERT_FOLDER"):
            shared.pop(PREFIX + name, None)
    return load(SubmissionConfig, {**shared, **own}, PREFIX)
