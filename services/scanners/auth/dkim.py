"""DKIM verification (RFC 6376, 8301, 8463) as a pure function of the message, the keys and the time.

Its own, over `cryptography`: the usual library has no Ed25519 without another dependency, takes SHA-1, reads the
machine's clock, and canonicalises in quadratic time.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from services.scanners.mime import Field

MAX_SIGNATURES: Final = 10  # more are not looked at
MIN_BITS: Final = 1024  # RFC 8301 section 3.2
MAX_BITS: Final = 8192
_TAG_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_SPACE = re.compile(rb"[ \t]+")
_FOLDING = re.compile(rb"[ \t\r\n]+")
_B_VALUE = re.compile(rb"((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")
_NAME = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_REQUIRED: Final = (b"v", b"a", b"b", b"bh", b"d", b"h", b"s")
_ALGORITHMS: Final = {b"rsa-sha256": b"rsa", b"ed25519-sha256": b"ed25519"}

Key = rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What became of one signature. `result` as in RFC 8601 section 2.7.1."""

    result: str
    domain: str = ""
    selector: str = ""
    digest: str = ""  # the first characters of the signature, which tell signatures of one domain apart
    reason: str = ""


class _Verdict(Exception):  # noqa: N818  # it carries a result, it is no error
    """Ends the evaluation of one signature."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


@dataclasses.dataclass(frozen=True, slots=True)
class Signature:
    """One DKIM-Signature field. `problem` is set when it can't be evaluated, whatever the key."""

    field: Field
    tags: Mapping[bytes, bytes]
    problem: str = ""

    @property
    def domain(self) -> str:
        return self.tags.get(b"d", b"").decode("ascii", "replace").lower()

    @property
    def selector(self) -> str:
        return self.tags.get(b"s", b"").decode("ascii", "replace").lower()

    @property
    def key_name(self) -> str:
        """Return the name under which the key is published."""
        return f"{self.selector}._domainkey.{self.domain}"


def signatures(fields: Sequence[Field]) -> list[Signature]:
    """Return the message's signatures in order of appearance, at most MAX_SIGNATURES."""
    found = [field for field in fields if field.name == "dkim-signature"]
    return [_read(field) for field in found[:MAX_SIGNATURES]]


def _read(field: Field) -> Signature:
    tags = parse_tags(field.value)
    if tags is None:
        return Signature(field, {}, "tag list can't be read")
    missing = [tag for tag in _REQUIRED if not tags.get(tag)]
    if missing:
        return Signature(field, tags, f"no {missing[0].decode()}=")
    if tags[b"v"] != b"1":
        return Signature(field, tags, "unknown version")
    return Signature(field, tags, problem_of_names(tags))


def problem_of_names(tags: Mapping[bytes, bytes]) -> str:
    """Return what is wrong with the names that a signature's key is published under, empty for nothing."""
    return "" if _NAME.fullmatch(tags[b"d"]) and _NAME.fullmatch(tags[b"s"]) else "d= or s= is no name"


def parse_tags(value: bytes) -> dict[bytes, bytes] | None:
    """Return a tag list (RFC 6376 section 3.2) as a dict; None when it is malformed or names a tag twice."""
    tags: dict[bytes, bytes] = {}
    pieces = value.split(b";")
    if not pieces[-1].strip():
        pieces.pop()
    for piece in pieces:
        name, equals, content = piece.partition(b"=")
        name = name.strip(b" \t\r\n")
        if not equals or not _TAG_NAME.fullmatch(name) or name in tags:
            return None
        tags[name] = content.strip(b" \t\r\n")
    return tags


class Verifier:
    """Checks the signatures of one message. The body is canonicalised once for each way that is asked for."""

    def __init__(self, fields: Sequence[Field], body: bytes, now: float) -> None:
        """`body` with CRLF line ends; `now` in seconds since the epoch, for x=."""
        self._fields = fields
        self._body = body
        self._now = now
        self._bodies: dict[bytes, bytes] = {}
        self._from = sum(1 for field in fields if field.name == "from")

    def check(self, signature: Signature, records: Sequence[bytes] | None) -> Result:
        """Return the result under the TXT records at the signature's `key_name`; None: DNS gave no answer."""
        digest = _FOLDING.sub(b"", signature.tags.get(b"b", b""))[:8].decode("ascii", "replace")
        names = (signature.domain, signature.selector, digest)
        try:
            self._check(signature, records)
        except _Verdict as verdict:
            return Result(verdict.result, *names, reason=verdict.reason)
        return Result("pass", *names)

    def check_seal(self, seal: Signature, records: Sequence[bytes] | None, data: bytes) -> Result:
        """Return the result of an ARC-Seal (RFC 8617 section 4.1.3) over the octets that it covers."""
        names = (seal.domain, seal.selector)
        try:
            kind = _kind(seal)
            if records is None:
                raise _Verdict("temperror", "no answer from DNS for the key")
            _verify(_key(records, kind, seal.tags), seal.tags, data)
        except _Verdict as verdict:
            return Result(verdict.result, *names, reason=verdict.reason)
        return Result("pass", *names)

    def _check(self, signature: Signature, records: Sequence[bytes] | None) -> None:
        kind = _kind(signature)
        tags = signature.tags
        signed = [name.strip(b" \t\r\n").lower() for name in tags[b"h"].split(b":")]
        self._check_scope(tags, signed)
        headers, body = _canonicalizations(tags.get(b"c", b"simple/simple").lower())
        if records is None:
            raise _Verdict("temperror", "no answer from DNS for the key")
        key = _key(records, kind, tags)
        self._check_body(tags, body)
        _verify(key, tags, self._signed_octets(signature, signed, headers))

    def _check_scope(self, tags: Mapping[bytes, bytes], signed: list[bytes]) -> None:
        if b"from" not in signed:
            raise _Verdict("permerror", "From is not signed")
        if self._from > signed.count(b"from"):
            raise _Verdict("policy", "a From field is not covered")  # RFC 6376 section 8.15
        identity = tags.get(b"i", b"").rpartition(b"@")[2].lower()
        domain = tags[b"d"].lower()
        if identity and identity != domain and not identity.endswith(b"." + domain):
            raise _Verdict("permerror", "i= is outside of d=")
        if b"dns/txt" not in tags.get(b"q", b"dns/txt").lower():
            raise _Verdict("permerror", "unknown query method")
        expires = tags.get(b"x", b"")
        if expires and (not expires.isdigit() or len(expires) > 12):  # noqa: PLR2004  # RFC 6376 section 3.5, t=
            raise _Verdict("permerror", "x= is no time")
        if expires and int(expires) < self._now:
            raise _Verdict("fail", "expired")

    def _check_body(self, tags: Mapping[bytes, bytes], way: bytes) -> None:
        if way not in self._bodies:
            self._bodies[way] = canonical_body(self._body, way)
        body = self._bodies[way]
        length = tags.get(b"l", b"")
        if length and (not length.isdigit() or len(length) > 12):  # noqa: PLR2004  # a body of ours is far shorter
            raise _Verdict("permerror", "l= is no number")
        covered = int(length) if length else len(body)
        digest = base64.b64encode(hashlib.sha256(body[:covered]).digest())
        if digest != _FOLDING.sub(b"", tags[b"bh"]):
            raise _Verdict("fail", "body was changed")
        if covered < len(body):
            raise _Verdict("policy", "text after l= is not covered")  # RFC 6376 section 8.2
        if covered > len(body):
            raise _Verdict("permerror", "l= is longer than the body")

    def _signed_octets(self, signature: Signature, signed: list[bytes], way: bytes) -> bytes:
        """Return what the signature covers (RFC 6376 section 3.7): fields from the bottom up, and itself without b=."""
        waiting: dict[str, list[Field]] = {}
        for field in self._fields:
            waiting.setdefault(field.name, []).append(field)
        chosen = []
        for name in signed:
            stack = waiting.get(name.decode("ascii", "replace"))
            if stack:
                chosen.append(canonical_field(stack.pop(), way) + b"\r\n")
        return b"".join(chosen) + canonical_field(without_value(signature.field), way)


def without_value(field: Field) -> Field:
    """Return a signature's field with an empty b=, as it is when it is signed (RFC 6376 section 3.7)."""
    emptied = _B_VALUE.sub(rb"\1", field.value, count=1)
    return Field(field.name, emptied, field.raw[: len(field.raw) - len(field.value)] + emptied)


def _kind(signature: Signature) -> bytes:
    """Return the type of key that the signature's algorithm takes."""
    if signature.problem:
        raise _Verdict("permerror", signature.problem)
    algorithm = signature.tags[b"a"].lower()
    if algorithm == b"rsa-sha1":
        raise _Verdict("policy", "sha1 is no longer accepted")  # RFC 8301 section 3.1
    if algorithm not in _ALGORITHMS:
        raise _Verdict("permerror", "unknown algorithm")
    return _ALGORITHMS[algorithm]


def _verify(key: Key, tags: Mapping[bytes, bytes], data: bytes) -> None:
    try:
        value = base64.b64decode(_FOLDING.sub(b"", tags[b"b"]), validate=True)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(value, data, padding.PKCS1v15(), SHA256())
        else:
            key.verify(value, hashlib.sha256(data).digest())  # RFC 8463 section 3
    except binascii.Error as error:
        raise _Verdict("permerror", "b= is no base64") from error
    except InvalidSignature as error:
        raise _Verdict("fail", "signature doesn't verify") from error


def _canonicalizations(value: bytes) -> tuple[bytes, bytes]:
    headers, _, body = value.partition(b"/")
    ways = (headers.strip(), body.strip() or b"simple")
    if not set(ways) <= {b"simple", b"relaxed"}:
        raise _Verdict("permerror", "unknown canonicalization")
    return ways


def canonical_field(field: Field, way: bytes) -> bytes:
    """Return the field in canonical form (RFC 6376 sections 3.4.1 and 3.4.2), without the final line end."""
    if way == b"simple":
        return field.raw
    value = _SPACE.sub(b" ", field.value.replace(b"\r\n", b"")).strip(b" ")
    return field.name.encode("ascii") + b":" + value


def canonical_body(body: bytes, way: bytes) -> bytes:
    """Return the body in canonical form (RFC 6376 sections 3.4.3 and 3.4.4), in linear time."""
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    if way == b"relaxed":
        body = _SPACE.sub(b" ", body).replace(b" \r\n", b"\r\n")
    end = len(body)
    while end >= 2 and body[end - 2 : end] == b"\r\n":  # noqa: PLR2004  # the length of a line end
        end -= 2
    if end == 0:
        return b"" if way == b"relaxed" else b"\r\n"
    return body[:end] + b"\r\n"


def _key(records: Sequence[bytes], kind: bytes, tags: Mapping[bytes, bytes]) -> Key:
    """Return the key that the records publish (RFC 6376 section 3.6.1)."""
    published = [parsed for record in records if (parsed := parse_tags(record)) is not None and b"p" in parsed]
    if not published:
        raise _Verdict("permerror", "no key")
    key = published[0]
    if key.get(b"v", b"DKIM1") != b"DKIM1":
        raise _Verdict("permerror", "key of an unknown version")
    if not key[b"p"]:
        raise _Verdict("permerror", "key revoked")
    if key.get(b"k", b"rsa").lower() != kind:
        raise _Verdict("permerror", "key of another type")
    if not {b"sha256", b"*"} & _list(key.get(b"h", b"sha256")):
        raise _Verdict("permerror", "key doesn't allow sha256")
    if not {b"email", b"*"} & _list(key.get(b"s", b"*")):
        raise _Verdict("permerror", "key isn't for e-mail")
    identity = tags.get(b"i", b"@" + tags[b"d"]).rpartition(b"@")[2].lower()
    if b"s" in _list(key.get(b"t", b"")) and identity != tags[b"d"].lower():
        raise _Verdict("permerror", "key doesn't allow subdomains")
    loaded = _load(_FOLDING.sub(b"", key[b"p"]), kind)
    if loaded is None:
        raise _Verdict("permerror", "key can't be read")
    if isinstance(loaded, rsa.RSAPublicKey) and not MIN_BITS <= loaded.key_size <= MAX_BITS:
        raise _Verdict("policy", f"key of {loaded.key_size} bits")
    return loaded


def _list(value: bytes) -> set[bytes]:
    return {item.strip(b" \t\r\n").lower() for item in value.split(b":")}


@lru_cache(maxsize=2048)
def _load(text: bytes, kind: bytes) -> Key | None:
    try:
        data = base64.b64decode(text, validate=True)
        if kind == b"ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(data)
        key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, rsa.RSAPublicKey) else None
