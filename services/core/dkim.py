"""DKIM signing (RFC 6376, RFC 8301, RFC 8463) as a pure function of the message, the key and the time.

Its own, over `cryptography`, as the verification is: the usual library signs RSA in Python alone, Ed25519 not without
another dependency, and canonicalises a body in quadratic time.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from services.core.errors import ObjectCorrupt
from services.core.headers import Field, fields

RSA, ED25519 = "rsa-sha256", "ed25519-sha256"
ALGORITHMS: Final = (RSA, ED25519)
RSA_BITS: Final = 2048  # a longer key's record doesn't fit into every DNS console
STEP: Final = 65_536  # octets of a body that are canonicalised in one go
_LINE: Final = 72  # characters of a line of base64
_STRING_MOST: Final = 255  # octets of one string of a TXT record (RFC 1035 section 3.3.14)
_HEAD: Final = "{first}; a={a}; c=relaxed/relaxed; d={d}; s={s};\r\n\tt={t};\r\n\th={h};\r\n\tbh={bh};\r\n\tb="

# Signed once more than they are there: one that is added on the way breaks the signature (RFC 6376 section 8.15).
_CLOSED: Final = (
    "from", "sender", "reply-to", "subject", "date", "message-id", "to", "cc", "mime-version", "content-type",
    "content-transfer-encoding",
)  # fmt: skip
# Signed where they are there.
_OPEN: Final = (
    "content-id", "content-description", "content-disposition", "resent-to", "resent-date", "resent-from",
    "resent-cc", "resent-message-id", "in-reply-to", "references", "list-id", "list-help", "list-owner",
    "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post", "openpgp", "autocrypt",
)  # fmt: skip
_MOST: Final = 20  # fields of one name that are signed; a message with more of them is no message

_SPACE = re.compile(rb"[ \t]+")

Private = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """What a domain signs with."""

    domain: str
    selector: str
    private: Private

    @property
    def algorithm(self) -> str:
        """As in a= (RFC 6376 section 3.5)."""
        return RSA if isinstance(self.private, rsa.RSAPrivateKey) else ED25519


def new_private(algorithm: str) -> Private:
    """Return a new private key. RSA takes a tenth of a second and more."""
    if algorithm == ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65_537, key_size=RSA_BITS)


def packed(private: Private) -> bytes:
    """Return the private key as octets, not encrypted."""
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def unpacked(octets: bytes) -> Private:
    """Return the key that `packed` made the octets of; raise ObjectCorrupt."""
    try:
        key = load_der_private_key(octets, None)
    except ValueError as error:
        raise ObjectCorrupt("not a private key") from error
    if not isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise ObjectCorrupt("a private key that DKIM has no algorithm for")
    return key


def record(private: Private) -> str:
    """Return the TXT record that the public key is published in (RFC 6376 section 3.6.1)."""
    public = private.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        kind, octets = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        kind, octets = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k={kind}; p={base64.b64encode(octets).decode()}"


def strings(text: str) -> str:
    """Return the record as a zone file has it: in quoted strings of no more than 255 octets each."""
    return " ".join(f'"{text[at : at + _STRING_MOST]}"' for at in range(0, len(text), _STRING_MOST))


def sign(key: Key, header: bytes, body_hash: str, now: float) -> bytes:
    """Return the DKIM-Signature field with its line end. `header` is the header block without the empty line."""
    return message_signature("DKIM-Signature", "v=1", key, header, body_hash, now)


def message_signature(name: str, first: str, key: Key, header: bytes, body_hash: str, now: float) -> bytes:
    """Return a signature of a message as a field of that name with its line end; `first` is its first tag.

    An ARC-Message-Signature is a DKIM signature in all but its name (RFC 8617 section 4.1.2).
    """
    chosen, named = _chosen(header)
    tags = {"a": key.algorithm, "d": key.domain, "s": key.selector, "t": int(now), "h": _folded(named), "bh": body_hash}
    said = _HEAD.format(first=first, **tags)
    covered = b"".join(relaxed(b"%s" % each, value) + b"\r\n" for each, value in chosen)
    return with_signature(name, said, key, covered)


def with_signature(name: str, said: str, key: Key, covered: bytes) -> bytes:
    """Return the field of that name: `said` up to its b=, and the signature of what is covered and of the field."""
    covered += relaxed(name.encode(), said.encode("ascii"))
    if isinstance(key.private, rsa.RSAPrivateKey):
        signature = key.private.sign(covered, padding.PKCS1v15(), SHA256())
    else:
        signature = key.private.sign(hashlib.sha256(covered).digest())  # RFC 8463 section 3
    text = base64.b64encode(signature).decode()
    lines = "\r\n\t ".join(text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return f"{name}: {said}{lines}\r\n".encode("ascii")


def _chosen(header: bytes) -> tuple[list[tuple[bytes, bytes]], list[str]]:
    """Return the fields that are signed, from the bottom up for each name (section 5.4.2), and the names for h=."""
    there: dict[bytes, list[Field]] = {}
    for field in fields(header):
        there.setdefault(field.name, []).append(field)
    chosen: list[tuple[bytes, bytes]] = []
    named: list[str] = []
    for name in (*_CLOSED, *_OPEN):
        found = there.get(name.encode(), [])[-_MOST:]
        chosen += [(field.name, header[field.value : field.end]) for field in reversed(found)]
        named += [name] * (len(found) + (name in _CLOSED))
    return chosen, named


def _folded(names: Sequence[str]) -> str:
    lines = [names[0]]
    for name in names[1:]:
        if len(lines[-1]) + 1 + len(name) > _LINE:
            lines[-1] += ":"
            lines.append(name)
        else:
            lines[-1] += f":{name}"
    return "\r\n\t ".join(lines)


def relaxed(name: bytes, value: bytes) -> bytes:
    """Return a field in relaxed form (RFC 6376 section 3.4.2), without its line end."""
    return name.lower() + b":" + _SPACE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")


def body_hash(parts: Iterable[bytes | memoryview]) -> str:
    """Return bh= of a body in relaxed form (RFC 6376 section 3.4.4), in linear time and little memory."""
    digest = hashlib.sha256()
    blank, some = 0, False  # line ends that are held back: at the end of the body they don't count
    for lines in _lines(parts):
        text = _SPACE.sub(b" ", lines).replace(b" \r\n", b"\r\n")
        end = len(text)
        while end >= 2 and text[end - 2 : end] == b"\r\n":  # noqa: PLR2004  # the length of a line end
            end -= 2
        if end:
            digest.update(b"\r\n" * blank + text[:end])
            blank, some = 0, True
        blank += (len(text) - end) // 2
    if some:
        digest.update(b"\r\n")
    return base64.b64encode(digest.digest()).decode()


def _lines(parts: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the body in pieces that end with a CRLF each; a last line without its end gets one."""
    rest: list[bytes] = []  # of a line that hasn't ended
    for part in parts:
        view = memoryview(part)
        for at in range(0, len(view), STEP):
            piece = bytes(view[at : at + STEP])
            end = piece.rfind(b"\r\n") + 2 if b"\r\n" in piece else 0
            if not end and rest and rest[-1].endswith(b"\r") and piece.startswith(b"\n"):
                end = 1
            if end:
                yield b"".join([*rest, piece[:end]])
                rest.clear()
            if end < len(piece):
                rest.append(piece[end:])
    if tail := b"".join(rest):
        yield tail + b"\r\n"
