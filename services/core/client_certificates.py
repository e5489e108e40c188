"""By which certificates clients are known. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cryptography import x509

from schemas.events import ClientCertificate, Customer


class Shown(NamedTuple):
    """What a client showed, once TLS has verified it."""

    chain: tuple[bytes, ...]  # DER, its own first, up to what is trusted
    names: frozenset[str]  # of its own, lower case

    @property
    def own(self) -> bytes:
        """The client's certificate."""
        return self.chain[0]


def shown(chain: Sequence[bytes]) -> Shown | None:
    """Return what the chain says, None for an empty one or one that can't be read."""
    if not chain:
        return None
    try:
        certificate = x509.load_der_x509_certificate(chain[0])
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        found = []
    except ValueError:
        return None
    return Shown(tuple(chain), frozenset(name.lower() for name in found))


def knows(listed: ClientCertificate, client: Shown) -> bool:
    """Return whether the client is one that is meant: its own certificate, or a name that the CA vouches for."""
    der = base64.b64decode(listed.der)
    if not listed.names:
        return client.own == der
    return der in client.chain[1:] and not client.names.isdisjoint(listed.names)


def known_by(customers: Iterable[Customer], client: Shown) -> tuple[Customer, ...]:
    """Return the customers whose client it is."""
    return tuple(c for c in customers if any(knows(listed, client) for listed in c.outbound.certificates))


def anchors(customers: Iterable[Customer]) -> tuple[str, ...]:
    """Return what TLS has to trust for clients to be known, base64 of DER, each once."""
    return tuple(dict.fromkeys(listed.der for c in customers for listed in c.outbound.certificates))
