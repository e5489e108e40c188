"""The certificates by which a customer's MTAs are known, as an operator writes them.

certificates:
  - certificate: MIIB…              the MTA's own, of whoever
  - {ca: MIIB…, names: [mta.acme.example]}
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from cryptography import x509

from schemas.events import ClientCertificate
from services.core.address import parse_domain
from services.core.errors import BadAddress
from services.core.tree import Place, quoted

CERTIFICATES_MOST: Final = 20
NAMES_MOST: Final = 50
_LIMIT: Final = 12_000  # characters of one
_ARMOUR: Final = re.compile(r"-----(?:BEGIN|END) CERTIFICATE-----|\s")


def parse_certificates(place: Place) -> tuple[ClientCertificate, ...]:
    """Return them in the order written; raise ConfigError for the first that can't be used."""
    places = place.items("a list of certificates")
    if len(places) > CERTIFICATES_MOST:
        raise place.wrong(f"{len(places)} certificates, and {CERTIFICATES_MOST} is the most")
    return tuple(dict.fromkeys(map(_certificate, places)))


def _certificate(place: Place) -> ClientCertificate:
    fields = place.fields("certificate", "ca", "names")
    if ("certificate" in fields) == ("ca" in fields):
        raise place.wrong("one of certificate and ca is needed")
    if "certificate" in fields:
        if "names" in fields:
            raise fields["names"].wrong("a certificate is known by itself; names are for a ca")
        return ClientCertificate(der=_der(fields["certificate"])[0])
    if "names" not in fields:
        raise place.wrong("a ca needs names: whoever has any certificate of it could send")
    der, certificate = _der(fields["ca"])
    if not _is_ca(certificate):
        raise fields["ca"].wrong("not the certificate of a CA (basicConstraints)")
    members = fields["names"].members("a list of host names")
    if not 0 < len(members) <= NAMES_MOST:
        raise fields["names"].wrong(f"between 1 and {NAMES_MOST} names are needed")
    return ClientCertificate(der=der, names=tuple(dict.fromkeys(map(_name, members))))


def _der(place: Place) -> tuple[str, x509.Certificate]:
    """Return the base64 on one line, and what it holds; PEM does as well, on however many lines YAML folds."""
    text = _ARMOUR.sub("", place.text(_LIMIT))
    try:
        return text, x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise place.wrong("not the base64 of a certificate, as PEM has it") from error


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def _name(place: Place) -> str:
    text = place.text()
    try:
        return parse_domain(text)
    except BadAddress as error:
        raise place.wrong(f"{quoted(text)} is no host name: {error}") from error
