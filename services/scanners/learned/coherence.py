"""Whether what a message says of itself fits together: who sent it, which way it came, where its links lead.

Honest bulk mail is told from spam by that more than by its words. Names are compared with each other and never
remembered.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from email.utils import mktime_tz, parsedate_tz
from typing import Final

from services.scanners import text
from services.scanners.auth.dmarc import organizational
from services.scanners.facts import Facts

_HOPS: Final = 20
_HOST = re.compile(r"(?<![\w.@-])((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24})")
_ADDRESS = re.compile(r"[\w.+-]{1,64}@([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,5})")
_MAILTO = re.compile(r"mailto:[^\s\"'<>?@]{1,100}@([a-z0-9.-]{3,100})")
_OUT = re.compile(
    r"unsubscribe|opt[ -]?out|remove|removal|leave-|signoff|abmelden|abbestell|subscription|preferences|account|profile"
)
_ROLE = re.compile(
    r"news|list|info|mail|update|subscri|support|service|sales|admin|alert|notif|letter|webmaster|offers?"
)
_BOUNCES = re.compile(r"bounce|owner|errors|return|-[0-9]{4,}|=")
_RULE = re.compile(r"[\s\-=_*~#+.]{6,}")
_ORDERED: Final = frozenset(
    {
        *("from", "to", "cc", "subject", "date", "message-id", "reply-to", "sender", "x-mailer", "x-priority"),
        *("mime-version", "content-type", "content-transfer-encoding"),
    }
)
_FIELDS: Final = 40
_WORDS: Final = 20_000  # characters in which addresses are looked for
_LINES: Final = 2000
_SAID_FIRST: Final = ((-60.0, "before"), (90.0, "same"), (900.0, "minutes"), (8000.0, "late"))  # seconds after the Date


def features(facts: Facts, found: set[str]) -> None:
    """Add what fits together and what does not."""
    received = [
        text.from_bytes(value[:2000]).replace("\r", "").replace("\n", " ").lower()
        for value in facts.mail.values("received")[:_HOPS]
    ]
    names = {host for hop in received for host in _HOST.findall(hop)[:8]} | {facts.mail.received.envelope.helo.lower()}
    way = {organizational(name) for name in names if name}
    own = organizational(facts.from_domain) if facts.from_domain else "-"
    _age(facts, received, found)
    if way:
        _identity(facts, received, way, found)
    _returns(facts, own, way, found)
    _links(facts, own, way, found)
    _addresses(facts, own, way, found)
    _name(facts, own, found)
    _lines(facts, found)
    _order(facts, found)
    found.add(f"size:{step(len(facts.mail.raw), 20)}")


def _age(facts: Facts, received: list[str], found: set[str]) -> None:
    """Compare the Date with when the first relay took the message, which nobody who sends in a hurry does."""
    said = _seconds(facts.mail.header("date")[:100])
    taken = [when for hop in received if (when := _seconds(hop.rpartition(";")[2][:60].strip())) is not None]
    first = taken[-1] if taken else facts.mail.received.received_at or None
    if said is not None and first is not None:
        late = first - said
        found.add(f"date:first-{next((name for most, name in _SAID_FIRST if late < most), 'much')}")


def _seconds(value: str) -> float | None:
    try:
        parsed = parsedate_tz(value)
        return float(mktime_tz(parsed)) if parsed is not None and parsed[9] is not None else None
    except (ValueError, IndexError, OverflowError):
        return None


def _identity(facts: Facts, received: list[str], way: set[str], found: set[str]) -> None:
    identity = facts.mail.header("message-id")[:600].strip("<> ").rpartition("@")[2].lower()
    if identity:
        found.add("id:on-its-way" if organizational(identity) in way else "id:not-on-its-way")
        if received and identity in received[-1]:
            found.add("id:first-host")


def _returns(facts: Facts, own: str, way: set[str], found: set[str]) -> None:
    path = (facts.mail.received.envelope.reverse_path or facts.mail.header("return-path")[:600]).strip("<> ").lower()
    local, _, domain = path.rpartition("@")
    if domain:
        found.add("return:own" if organizational(domain) == own else "return:elsewhere")
        if way:
            found.add("return:on-its-way" if organizational(domain) in way else "return:not-on-its-way")
        if _BOUNCES.search(local):
            found.add("return:a-machine")
        if path == f"{facts.from_local}@{facts.from_domain}":
            found.add("return:from")
    leave = facts.mail.header("list-unsubscribe")[:2000].lower()
    if leave:
        places = {organizational(host) for host in _HOST.findall(leave.replace("@", " "))}
        found.add("list:own" if own in places else "list:elsewhere")
        if way:
            found.add("list:on-its-way" if places & way else "list:not-on-its-way")


def _links(facts: Facts, own: str, way: set[str], found: set[str]) -> None:
    domains = [organizational(link.host) for link in facts.links]
    if not domains:
        return
    count = len(domains)
    top, most = Counter(domains).most_common(1)[0]
    found.add(f"link:most{4 * most // count}")
    found.add(f"link:most-{'own' if top == own else 'way' if top in way else 'elsewhere'}")
    found.add(f"link:on-its-way{4 * sum(domain in way for domain in domains) // count}")
    found.add(f"link:different{step(len({link.url for link in facts.links}), 7)}")
    lengths = [len(link.url.partition("//")[2].partition("/")[2]) for link in facts.links]
    found.add(f"link:path{step(sum(lengths) // count, 7)}")
    out = {domain for link, domain in zip(facts.links, domains, strict=True) if _OUT.search(link.url[:500].lower())}
    if out:
        found.add(f"out:link-{'own' if own in out else 'way' if out & way else 'elsewhere'}")


def _addresses(facts: Facts, own: str, way: set[str], found: set[str]) -> None:
    shown = {*_MAILTO.findall(facts.html), *_ADDRESS.findall(facts.words[:_WORDS])}
    places = {organizational(domain) for domain in shown}
    if places:
        found.add(f"address:{'own' if own in places else 'way' if places & way else 'elsewhere'}")


def _name(facts: Facts, own: str, found: set[str]) -> None:
    found.add("from:role" if _ROLE.search(facts.from_local) else "from:person")
    label = own.partition(".")[0]
    if len(label) <= 3:  # noqa: PLR2004  # found anywhere by chance
        return
    name = re.sub(r"[^a-z0-9]", "", facts.from_name[:500])
    if name and (label in name or name in label):
        found.add("from:domain-in-name")
    if label in facts.subject.lower().replace(" ", ""):
        found.add("subject:domain")
    found.add(f"body:domain{step(facts.words.count(label), 4)}")


def _lines(facts: Facts, found: set[str]) -> None:
    lines = [line for line in facts.mail.text.splitlines()[:_LINES] if line.strip()]
    if not lines:
        return
    lengths = sorted(map(len, lines))
    count = len(lines)
    found.add(f"line:longest{min(8, lengths[-1] // 20)}")
    found.add(f"line:long{min(8, lengths[count * 9 // 10] // 12)}")
    found.add(f"line:n{step(count, 9)}")
    found.add(f"line:indented{6 * sum(line[0].isspace() for line in lines) // count}")
    found.add(f"line:rules{step(sum(_RULE.fullmatch(line) is not None for line in lines), 4)}")
    found.add(f"line:ends{5 * sum(line.rstrip()[-1:] in '.!?' for line in lines) // count}")


def _order(facts: Facts, found: set[str]) -> None:
    """A program that sends writes its fields in an order of its own, and one that pretends to be it rarely does."""
    names = [field.name for field in facts.mail.fields[:_FIELDS] if field.name in _ORDERED]
    found.update(f"order:{one}>{after}" for one, after in itertools.pairwise(names))


def step(count: int, most: int) -> int:
    """Return the order of magnitude of a count, in powers of two."""
    return min(most, int(math.log2(count)) + 1 if count > 0 else 0)
