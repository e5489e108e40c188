"""ARC sealing (RFC 8617) as a pure function: what was seen of a message before it was changed here, signed.

A tag in the subject breaks the author's signature. Who believes the sealer can still see that it was good.
"""

from __future__ import annotations

import re
from typing import Final

from services.core import dkim
from services.core.headers import Field, field, fields

SETS_MOST: Final = 50  # section 4.2.1
_NAMES: Final = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")  # as a seal covers them
_INSTANCE: Final = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,2})[ \t\r\n]*(?:;|\Z)")

Set = tuple[Field, Field, Field]


def seal(key: dkim.Key, header: bytes, body_hash: str, results: str, seen: str, now: float) -> bytes:
    """Return the three fields of a set, to be put on top of the header; empty where no set may be added.

    `results` is what an Authentication-Results field would say, `seen` what became of the chain that came with the
    message: none, pass, or else. A chain that fails, or isn't whole, gets no further set (section 5.1.2 leaves that to
    the sealer): nobody could believe it.
    """
    chain = sets(header)
    if chain is None or len(chain) >= SETS_MOST or (chain and seen != "pass"):
        return b""
    instance = f"i={len(chain) + 1}"
    told = field("ARC-Authentication-Results", f"{instance}; {results}")
    message = dkim.message_signature("ARC-Message-Signature", instance, key, header, body_hash, now)
    before = b"".join(
        dkim.relaxed(name, header[part.value : part.end]) + b"\r\n"
        for of_instance in chain
        for name, part in zip(_NAMES, of_instance, strict=True)
    )
    own = b"".join(_relaxed(each) + b"\r\n" for each in (told, message))
    cv = "pass" if chain else "none"
    said = f"{instance}; a={key.algorithm}; t={int(now)}; cv={cv};\r\n\td={key.domain}; s={key.selector};\r\n\tb="
    return dkim.with_signature("ARC-Seal", said, key, before + own) + message + told


def sets(header: bytes) -> list[Set] | None:
    """Return the sets that a header block has, first instance first; None when they aren't whole."""
    found: dict[tuple[int, bytes], Field] = {}
    for each in fields(header):
        if each.name not in _NAMES:
            continue
        number = _INSTANCE.match(header[each.value : each.end])
        if number is None or (int(number[1]), each.name) in found:
            return None
        found[int(number[1]), each.name] = each
    count = max((instance for instance, _ in found), default=0)
    if len(found) != count * len(_NAMES) or any(not instance >= 1 for instance, _ in found):
        return None
    return [(found[n, _NAMES[0]], found[n, _NAMES[1]], found[n, _NAMES[2]]) for n in range(1, count + 1)]


def _relaxed(octets: bytes) -> bytes:
    name, _, value = octets.partition(b":")
    return dkim.relaxed(name, value)
