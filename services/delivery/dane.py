"""DANE for SMTP (RFC 7672): the certificate is whatever the destination's signed TLSA records say. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

TA, EE = 2, 3  # the usages that count for SMTP (section 3.1)
_HASHES: Final = {1: hashlib.sha256, 2: hashlib.sha512}


@dataclasses.dataclass(frozen=True, slots=True)
class Tlsa:
    """One record (RFC 6698 section 2.1)."""

    usage: int
    selector: int  # 0: the whole certificate, 1: its key
    matching: int  # 0: as it is, 1: SHA-256, 2: SHA-512
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"

    def fits(self, certificate: x509.Certificate) -> bool:
        """Return whether the record means this certificate."""
        if self.selector == 1:
            octets = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            octets = certificate.public_bytes(Encoding.DER)
        return (octets if self.matching == 0 else _HASHES[self.matching](octets).digest()) == self.data


def usable(records: Iterable[str | bytes]) -> tuple[Tlsa, ...]:
    """Return the records that SMTP may go by; what can't be read, or means a public authority, is not among them."""
    found = []
    for text in records:
        words = str(text).split(maxsplit=3)
        try:
            usage, selector, matching = (int(word) for word in words[:3])
            data = bytes.fromhex(words[3].replace(" ", ""))
        except (ValueError, IndexError):
            continue
        if usage in (TA, EE) and selector in (0, 1) and matching in (0, 1, 2):
            found.append(Tlsa(usage, selector, matching, data))
    return tuple(found)


def verify(records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str]) -> str:
    """Return "" when the chain (DER, the host's own first) is what the records say, else why it is not.

    `names` are those that a certificate under a trust anchor may have; one that is named itself needs none (section
    3.1.1), nor has it to be in its time.
    """
    try:
        certificates = [x509.load_der_x509_certificate(octets) for octets in chain]
    except ValueError:
        return "a certificate that can't be read"
    if not certificates:
        return "no certificate"
    if any(record.usage == EE and record.fits(certificates[0]) for record in records):
        return ""
    anchors = [c for c in certificates[1:] for record in records if record.usage == TA and record.fits(c)]
    for anchor in anchors:
        for name in names:
            try:
                verifier = PolicyBuilder().store(Store([anchor])).build_server_verifier(_subject(name))
                verifier.verify(certificates[0], certificates[1:])
            except (VerificationError, ValueError):
                continue
            return ""
    return "the certificate is not what its TLSA record says"


def _subject(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
